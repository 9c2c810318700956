"""What a command is: its flags, and the library call that they are for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command. ``required``: its own flags, by name, with their help; ``sections``: options dataclasses by title.

    ``run`` takes what was given, by name. ``unfinished`` says what it means when it does not reach its end. ``example``
    is a command line that works.
    """

    required: Mapping[str, str]
    sections: Mapping[str, type]
    run: Callable[..., Any]
    unfinished: str
    example: str


def on_ray(name: str) -> Any:
    """Returns the module of the command that uses Ray: loaded where nothing is wrong so far, since it takes seconds."""
    print("starting Ray", file=sys.stderr, flush=True)
    return import_module(f"ue_ray.distributed.{name}")
