"""Joining a cluster, or starting a local one; and what it has."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
import ray.data
from ray.exceptions import RayTaskError

from ue_ray.errors import UserError


def connect() -> None:
    """Join the cluster that ``RAY_ADDRESS`` names (a submitted job finds it set); else start a local one.

    A bare ``ray.init()`` would join whatever cluster happens to run on this machine. Does nothing where the caller has
    already called ``ray.init``.
    """
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    if not ray.is_initialized():
        try:
            ray.init(
                address=os.environ.get("RAY_ADDRESS", "local"),
                include_dashboard=False if "RAY_ADDRESS" not in os.environ else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except ConnectionError as error:
            raise UserError(f"no Ray cluster at RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}: {error}") from None
    ray.data.DataContext.get_current().enable_progress_bars = False  # ours say more
    for noisy in ("ray.data", "ray.train"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def cpus() -> float:
    """CPUs of the cluster."""
    return float(ray.cluster_resources().get("CPU", 1))


def gpus() -> float:
    """GPUs of the cluster."""
    return float(ray.cluster_resources().get("GPU", 0))


@contextmanager
def causes() -> Iterator[None]:
    """A UserError raised in a worker is raised here as itself, without the frameworks' wrappings."""
    try:
        yield
    except Exception as error:
        user_error = _find_user_error(error)
        if user_error is not None:
            raise user_error from None
        raise


def _find_user_error(error: BaseException, depth: int = 0) -> UserError | None:
    if isinstance(error, UserError):
        return UserError(str(error.args[0] if error.args else error))
    inner: list[BaseException | None] = [error.__cause__, error.__context__]
    if isinstance(error, RayTaskError):
        inner.append(error.cause)
    inner.extend(getattr(error, "worker_failures", {}).values())
    for candidate in inner:
        if candidate is not None and candidate is not error and depth < 8:
            found = _find_user_error(candidate, depth + 1)
            if found is not None:
                return found
    return None
