"""From the options of a command to flags, and from the arguments given to options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from ue_ray.cli.command import Command


def parse(command: Command, arguments: Sequence[str], program: str, description: str) -> dict[str, Any]:
    """Returns the options that are given in ``arguments``, by name; exits where they cannot be read."""
    entries: list[Any] = [(name, Annotated[str, tyro.conf.arg(help=help)]) for name, help in command.required.items()]
    sections = {
        title.lower().replace(" ", "_").replace("-", "_"): flags(kind) for title, kind in command.sections.items()
    }
    entries += [(name, kind, field(default_factory=kind)) for name, kind in sections.items()]
    whole = make_dataclass("Options", entries)
    read: Any = tyro.cli(
        whole, args=list(arguments), prog=program, description=description, config=(tyro.conf.OmitArgPrefixes,)
    )
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
