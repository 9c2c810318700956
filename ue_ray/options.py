"""Option values as they are written on a command line: lists by commas, bounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ue_ray.errors import UserError


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
