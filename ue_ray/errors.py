"""What a user can mend, said in one line: the exceptions, and how options are read and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


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


def one_line(error: BaseException) -> str:
    """What ``error`` says, on one line of at most 200 characters: a part of a message to the user."""
    return " ".join(str(error).split())[:200]


@dataclass(frozen=True)
class ReadFailure:
    """Stands in for the bytes of one sample that could not be read; ``reason`` is one line."""

    reason: str


def listed(text: str) -> list[str]:
    """``"a, b"`` -> its names; none for an empty text."""
    return [name.strip() for name in text.split(",") if name.strip()]


def listed_among(text: str, choices: Collection[str], what: str) -> list[str]:
    """The names of ``text``. Raises UserError, listing the choices, for one that is not among them."""
    names = listed(text)
    for name in names:
        if name not in choices:
            raise UserError(f"unknown {what} {name!r}: choose among {', '.join(choices)}")
    return names


def parse_seeds(text: str) -> list[int]:
    """``"0,1,2"`` -> the seeds. Raises UserError for anything else."""
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        raise UserError(f"--seeds {text!r}: write whole numbers separated by commas, such as 0,1,2") from None


def check_at_least(config: Any, bounds: Mapping[str, int]) -> None:
    """Raises UserError for a field of ``config`` that is given and below its bound."""
    for name, bound in bounds.items():
        value = getattr(config, name)
        if value is not None and value < bound:
            raise UserError(f"--{name.replace('_', '-')} is {value}: it must be at least {bound}")
