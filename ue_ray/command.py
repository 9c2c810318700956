"""What the pipelines share: a frozen config from the command line, one call, an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import tyro

from ue_ray.errors import UserError
from ue_ray.storage.output import CommitError

Config = TypeVar("Config")


def run(config_type: type[Config], job: Callable[[Config], Any], description: str | None) -> NoReturn:
    """Parse the command line, run ``job`` and exit: 0, or one line on standard error and 2 (1 for a failed commit)."""
    config = tyro.cli(config_type, description=description)
    try:
        job(config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except CommitError as error:
        print(f"error: nothing was committed: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
