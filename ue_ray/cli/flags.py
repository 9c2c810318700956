"""From the options of a command to flags, and from the arguments given to options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from ue_ray.cli.command import Command
from ue_ray.errors import UserError, flag, option_names


def parse(command: Command, arguments: Sequence[str], program: str, description: str) -> dict[str, Any]:
    """Returns the options that are given in ``arguments``, by name; exits where help is asked for.

    Raises UserError for a flag that there is not, and for one that is needed and not given.
    """
    asks_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    if not asks_for_help:
        _check_names(command, arguments, program)
    entries: list[Any] = [(name, Annotated[str, tyro.conf.arg(help=help)]) for name, help in command.required.items()]
    sections = {
        title.lower().replace(" ", "_").replace("-", "_"): flags(kind) for title, kind in command.sections.items()
    }
    entries += [(name, kind, field(default_factory=kind)) for name, kind in sections.items()]
    whole = make_dataclass("Options", entries)
    try:
        read: Any = tyro.cli(
            whole, args=list(arguments), prog=program, description=description, config=(tyro.conf.OmitArgPrefixes,)
        )
    finally:
        if asks_for_help:
            print(f"\nExample:\n  {command.example}")
    given = {name: getattr(read, name) for name in command.required}
    for name in sections:
        given |= vars(getattr(read, name))
    return {name: value for name, value in given.items() if value is not None and value is not False}


def _check_names(command: Command, arguments: Sequence[str], program: str) -> None:
    given = [text.partition("=")[0].replace("_", "-") for text in arguments if text.startswith("--")]
    needed = [flag(name) for name in command.required]
    known = needed + [flag(name) for section in command.sections.values() for name in option_names(section)]
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise UserError(f"unknown option {name}{hint} ({program} --help lists them all)")
    if missing := [name for name in needed if name not in given]:
        raise UserError(f"{', '.join(missing)} must be given ({program} --help says what it is)")


def flags(section: type) -> type:
    """Returns a dataclass of optional flags, one for each option of ``section``: None, or False, where not given."""
    hints = get_type_hints(section)
    made: list[Any] = []
    for entry in fields(section):
        hint = hints[entry.name]
        # The options themselves check a choice, and say which one is close.
        kind = str if entry.metadata.get("parse") or get_origin(hint) is Literal else hint
        help = tyro.conf.arg(help=entry.metadata["help"], help_behavior_hint="", metavar=_metavar(hint, kind))
        made.append(
            (entry.name, Annotated[kind if kind is bool else kind | None, help], False if kind is bool else None)
        )
    return make_dataclass(section.__name__, made)


def _metavar(hint: Any, kind: Any) -> str | None:
    if get_origin(hint) is Literal:
        return "{" + ",".join(get_args(hint)) + "}"
    kinds = get_args(kind) if get_origin(kind) is UnionType else (kind,)
    return {str: "TEXT", int: "N", float: "X"}.get(kinds[0])
