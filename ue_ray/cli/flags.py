"""From the options of a command to flags, and from the arguments given to options."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import Field, fields
from difflib import get_close_matches
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from ue_ray.cli.command import Command
from ue_ray.errors import UserError, check_type, flag


def parse(command: Command, arguments: Sequence[str], program: str, description: str) -> dict[str, Any]:
    """Returns the options that are given in ``arguments``, by name; exits where help is asked for.

    Raises UserError for a flag that there is not, for one that is needed and not given, and for a
    value that is not of the flag's type.
    """
    hints = {name: hint for section in command.sections.values() for name, hint in get_type_hints(section).items()}
    read_later = {entry.name for entry in _entries(command) if entry.metadata["parse"]}
    arguments = [_with_dashes(text) for text in arguments]
    if {"-h", "--help"}.isdisjoint(arguments):
        _check_names(command, arguments, program, hints)
    given = vars(_parser(command, program, description, hints).parse_args(arguments))
    return {
        name: _value(name, text, hints[name]) if name in hints and name not in read_later else text
        for name, text in given.items()
        if text is not None
    }


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message.removeprefix('argument ')} ({self.prog} --help lists what there is)")


def _parser(command: Command, program: str, description: str, hints: dict[str, Any]) -> ArgumentParser:
    """All values are read as text here: what it means is said by the options' types."""
    parser = _Parser(
        program,
        usage=" ".join([program, *(f"{flag(name)} TEXT" for name in command.required), "[OPTIONS]"]),
        description=description,
        epilog=f"Example:\n  {command.example}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    group = parser.add_argument_group("Needed")
    for name, help in command.required.items():
        group.add_argument(flag(name), metavar="TEXT", help=help.replace("%", "%%"))
    for title, section in command.sections.items():
        group = parser.add_argument_group(title)
        for entry in fields(section):
            hint = hints[entry.name]
            how: dict[str, Any] = {"help": entry.metadata["help"].replace("%", "%%"), "default": None}
            how |= {"action": "store_true"} if hint is bool else {"metavar": _metavar(entry, hint)}
            group.add_argument(flag(entry.name), **how)
    return parser


def _check_names(command: Command, arguments: Sequence[str], program: str, hints: dict[str, Any]) -> None:
    given = [text.partition("=")[0] for text in arguments if text.startswith("--")]
    needed = [flag(name) for name in command.required]
    known = needed + [flag(entry.name) for entry in _entries(command)]
    switches = [flag(name) for name, hint in hints.items() if hint is bool]
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise UserError(f"unknown option {name}{hint} ({program} --help lists them all)")
        if name in switches and any(text.startswith(f"{name}=") for text in arguments):
            raise UserError(f"{name} takes no value")
    if missing := [name for name in needed if name not in given]:
        raise UserError(f"{', '.join(missing)} must be given ({program} --help says what it is)")


def _entries(command: Command) -> list[Field[Any]]:
    return [entry for section in command.sections.values() for entry in fields(section)]


def _with_dashes(text: str) -> str:
    """``--num_workers=2`` -> ``--num-workers=2``."""
    name, equals, value = text.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}" if text.startswith("--") else text


def _value(name: str, text: Any, hint: Any) -> Any:
    """Returns what ``text`` means for an option of this type. Raises UserError where it means nothing."""
    kinds = get_args(hint) or (hint,)
    value = text
    for kind in (float, int):
        if kind in kinds and str not in kinds:
            with suppress(ValueError):
                value = kind(text)
    check_type(name, value, hint)
    return value


def _metavar(entry: Field[Any], hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "{" + ",".join(get_args(hint)) + "}"
    kinds = get_args(hint) or (hint,)
    if entry.metadata["parse"] or str in kinds:
        return "TEXT"
    return "N" if int in kinds else "X"
