"""Runs a command from its options: flags in, one library call, one line for a mistake, an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, make_dataclass
from importlib import import_module
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from ue_ray.errors import FaultsFound, RunError, UserError


@dataclass(frozen=True)
class Command:
    """One command. ``required``: its own flags, by name, with their help; ``sections``: options dataclasses by title.

    ``run`` takes what was given, by name. ``unfinished`` says what it means when it does not reach its end.
    """

    required: Mapping[str, str]
    sections: Mapping[str, type]
    run: Callable[..., Any]
    unfinished: str


def main(arguments: Sequence[str]) -> None:
    """Runs a command and exits: 0; or, after one line, 2 (UserError), 1 (RunError, FaultsFound)."""
    name, *rest = arguments
    command: Command = import_module(f"ue_ray.distributed.{name}").command()
    given = parse(command, rest, f"ue-ray {name}")
    with _exit_status(command.unfinished):
        command.run(**given)
    sys.exit(0)


def parse(command: Command, arguments: Sequence[str], program: str) -> dict[str, Any]:
    """Returns the options that are given in ``arguments``, by name; exits where they cannot be read."""
    entries: list[Any] = [(name, Annotated[str, tyro.conf.arg(help=help)]) for name, help in command.required.items()]
    sections = {title.lower(): flags(kind) for title, kind in command.sections.items()}
    entries += [(name, kind, field(default_factory=kind)) for name, kind in sections.items()]
    whole = make_dataclass("Options", entries)
    read: Any = tyro.cli(whole, args=list(arguments), prog=program, config=(tyro.conf.OmitArgPrefixes,))
    given = {name: getattr(read, name) for name in command.required}
    for name in sections:
        given |= vars(getattr(read, name))
    return {name: value for name, value in given.items() if value is not None and value is not False}


def flags(section: type) -> type:
    """Returns a dataclass of optional flags, one for each option of ``section``: None, or False, where not given."""
    hints = get_type_hints(section)
    made: list[Any] = []
    for entry in fields(section):
        kind = str if entry.metadata.get("parse") else hints[entry.name]
        help = tyro.conf.arg(help=entry.metadata["help"], help_behavior_hint="", metavar=_metavar(kind))
        made.append(
            (entry.name, Annotated[kind if kind is bool else kind | None, help], False if kind is bool else None)
        )
    return make_dataclass(section.__name__, made)


def _metavar(kind: Any) -> str | None:
    if get_origin(kind) is Literal:
        return "{" + ",".join(get_args(kind)) + "}"
    kinds = get_args(kind) if get_origin(kind) is UnionType else (kind,)
    return {str: "TEXT", int: "N", float: "X"}.get(kinds[0])


@contextmanager
def _exit_status(unfinished: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except RunError as error:
        print(f"error: {unfinished}: {error}", file=sys.stderr)
        sys.exit(1)
    except FaultsFound as faults:
        print(faults)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"interrupted: {unfinished}", file=sys.stderr)
        sys.exit(130)
