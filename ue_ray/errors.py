"""What a user can mend, said in one line: the exceptions, and how options are read and checked."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Section = TypeVar("Section")


class UserError(Exception):
    """Something the user can mend.

    ``str(error)`` is one line: what is wrong, where, and what would be right (choices listed). The pipelines print that
    line and exit with status 2; no traceback is shown.
    """


class RunError(Exception):
    """The run could not be finished, through no mistake in what was asked for; nothing was committed.

    ``str(error)`` is one line. The pipelines print it and exit with status 1.
    """


class FaultsFound(Exception):
    """What was verified is not as it should be; each fault has been said already.

    ``str(error)`` is one line, the summary. The pipelines print it and exit with status 1.
    """


class WeakNoise(Exception):
    """The images are protected and committed, but the noise on them is weak. ``str(error)`` says why, in one line."""


def one_line(error: BaseException) -> str:
    """What ``error`` says, on one line of at most 200 characters: a part of a message to the user."""
    return " ".join(str(error).split())[:200]


@dataclass(frozen=True)
class ReadFailure:
    """Stands in for the bytes of one sample that could not be read; ``reason`` is one line."""

    reason: str


def choose(name: str, choices: Collection[str], what: str, of: str = "") -> str:
    """Returns ``name``. Raises UserError, listing the choices, if it is not among them.

    ``what`` it is a name of; ``of`` says more, as in " of preset photos".
    """
    if name not in choices:
        close = get_close_matches(str(name), choices, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"unknown {what} {name!r}{of}: choose one of {', '.join(choices)}{hint}")
    return name


def choose_all(text: str, choices: Collection[str], what: str) -> list[str]:
    """Returns the names in ``text``. Raises UserError, listing the choices, for one that is not among them."""
    names = listed(text)
    for name in names:
        if name not in choices:
            raise UserError(f"unknown {what} {name!r}: choose among {', '.join(choices)}")
    return names


def listed(text: str) -> list[str]:
    """``"a, b"`` -> its names; none for an empty text."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_seeds(text: str) -> list[int]:
    """``"0,1,2"`` -> the seeds. Raises UserError for anything else."""
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        raise UserError(f"{text!r} is not a list of whole numbers: write them with commas, such as 0,1,2") from None


def check_at_least(config: Any, bounds: Mapping[str, int]) -> None:
    """Raises UserError for a field of ``config`` that is given and below its bound."""
    for name, bound in bounds.items():
        value = getattr(config, name)
        if value is not None and value < bound:
            raise UserError(f"{flag(name)} is {value}: it must be at least {bound}")


# --- options dataclasses: what a command's flags and a library call's keywords are made from -------------------------


def option(help: str, default: Any = MISSING, parse: Callable[[str], Any] | None = None) -> Any:
    """Declares a field of an options dataclass: its help, its default, and how its text on a command line is read."""
    return field(default=default, metadata={"help": help, "parse": parse})


def flag(name: str) -> str:
    """Returns the name as a command line has it: ``"max_rounds"`` -> ``"--max-rounds"``."""
    return f"--{name.replace('_', '-')}"


def command_line(command: str, options: Mapping[str, Any]) -> str:
    """Returns what a person types: ``"verify", {"output": "a b"}`` -> ``"ue-ray verify --output 'a b'"``."""
    return shlex.join(["ue-ray", command, *(part for name, value in options.items() for part in _typed(name, value))])


def _typed(name: str, value: Any) -> list[str]:
    if value is True:
        return [flag(name)]
    return [flag(name), ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)]


def option_names(section: Any) -> list[str]:
    """Returns the names of an options dataclass's fields."""
    return [entry.name for entry in fields(section)]


def with_options(section: type[Section], values: Mapping[str, Any]) -> Section:
    """Makes ``section``, an options dataclass, of ``values`` (``parsed_options``)."""
    return section(**parsed_options(section, values))


def parsed_options(section: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``values``, by field name of ``section``, with text read by the fields' ``parse``.

    Raises UserError for a value of another type than the field's.
    """
    hints = get_type_hints(section)
    parses = {entry.name: entry.metadata.get("parse") for entry in fields(section)}
    parsed = {}
    for name, value in values.items():
        parse = parses[name]
        try:
            parsed[name] = parse(value) if parse and isinstance(value, str) else value
        except UserError as error:
            raise UserError(f"{flag(name)}: {error}") from None
        check_type(name, parsed[name], hints[name])
    return parsed


def check_type(name: str, value: Any, hint: Any) -> None:
    """Raises UserError for a value of the option ``name`` that is not of the type that ``hint`` says."""
    if get_origin(hint) is Literal:
        choose(value, get_args(hint), name.replace("_", " "))
        return
    kinds = list(get_args(hint)) if get_origin(hint) is UnionType else [hint]
    if not set(kinds) <= {int, float, str, bool, type(None)}:
        return
    whole_is_float = type(value) is int and float in kinds
    if type(value) not in kinds and not whole_is_float:
        names = " or ".join(_KINDS[kind] for kind in kinds if kind is not type(None))
        raise UserError(f"{flag(name)} is {value!r}: expected {names}")


_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}
