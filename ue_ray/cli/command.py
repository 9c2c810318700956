"""What a command is: its flags, and the library call that they are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command. ``required``: its own flags, by name, with their help; ``sections``: options dataclasses by title.

    ``run`` takes what was given, by name. ``unfinished`` says what it means when it does not reach its end.
    """

    required: Mapping[str, str]
    sections: Mapping[str, type]
    run: Callable[..., Any]
    unfinished: str
