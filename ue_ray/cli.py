"""What the pipelines share: a frozen config from the command line, one call, an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import tyro

from ue_ray.errors import FaultsFound, RunError, UserError

Config = TypeVar("Config")


def run(
    config_type: type[Config],
    job: Callable[[Config], Any],
    description: str | None,
    unfinished: str = "nothing was committed",
) -> NoReturn:
    """Parse the command line, run ``job`` and exit: 0; or, after one line, 2 (UserError) or 1 (RunError, FaultsFound).

    ``unfinished`` says what it means that the job did not reach its end.
    """
    config = tyro.cli(config_type, description=description)
    try:
        job(config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except RunError as error:
        print(f"error: {unfinished}: {error}", file=sys.stderr)
        sys.exit(1)
    except FaultsFound as found:
        print(found)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"interrupted: {unfinished}", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
