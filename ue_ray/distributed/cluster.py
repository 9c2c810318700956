"""Joining a cluster, or starting a local one; and what it has."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError, RayTaskError
from ray.train import TrainingFailedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ue_ray.errors import RunError, UserError


def connect() -> None:
    """Join the cluster that ``RAY_ADDRESS`` names (a submitted job finds it set); else start a local one.

    A bare ``ray.init()`` would join whatever cluster happens to run on this machine. Does nothing where the caller has
    already called ``ray.init``.
    """
    if not joined():  # each actor pool would print a C++ remark about restarts on our console
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Of a task that fails, one result is fetched and raised; for each other Ray would print the traceback too.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    if not ray.is_initialized():
        try:
            ray.init(
                address=os.environ.get("RAY_ADDRESS", "local"),
                include_dashboard=None if joined() else False,
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


def largest_nodes() -> tuple[float, int]:
    """CPUs of the largest node, at least one, and how many nodes there are of its size."""
    found = [max(1.0, float(node["Resources"].get("CPU", 0))) for node in ray.nodes() if node["Alive"]]
    return max(found), found.count(max(found))


def node_shares(node: float, nodes: int, workers: int) -> tuple[float, float]:
    """CPUs for each of ``workers`` that craft on ``nodes`` of ``node`` CPUs, and for a task that decodes for them.

    When nodes are lost and as many workers crowd on another as it takes, one such task still finds room there: their
    shares leave it, and are too large for one worker more.
    """
    here = math.ceil(workers / nodes)
    decoding = _floor(min(1.0, node / (here + 2)))
    return _floor((node - decoding) / here), decoding


def _floor(cpus: float) -> float:
    return math.floor(10_000 * cpus) / 10_000  # as fine as Ray counts


def gpus() -> float:
    """GPUs of the cluster."""
    return float(ray.cluster_resources().get("GPU", 0))


def room(cpus: float, gpus: float) -> int:
    """How many workers of so many CPUs, at least one, and GPUs each the nodes could hold, were nothing else there."""
    each = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(min(int(node.get(name, 0) // amount) for name, amount in each.items()) for node in nodes)


def joined() -> bool:
    """Whether this is someone's cluster, which may grow, and not a local Ray of this process's own."""
    return "RAY_ADDRESS" in os.environ


def beside_the_driver(actor: type, *arguments: Any) -> Any:
    """An actor without a CPU of its own on this process's node: no other node that is lost takes it along."""
    place = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(actor).options(num_cpus=0, scheduling_strategy=place).remote(*arguments)


@contextmanager
def causes() -> Iterator[None]:
    """A UserError or RunError raised in a worker is raised here as itself, without the frameworks' wrappings."""
    try:
        yield
    except Exception as error:
        found = _find(error)
        if found is not None:
            raise found from None
        if isinstance(error, RayError | TrainingFailedError):
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise RunError(f"{type(error).__name__}: {lines[-1].strip() if lines else 'no details'}") from error
        raise


def _find(error: BaseException, depth: int = 0) -> UserError | RunError | None:
    if isinstance(error, RayTaskError):  # it may also *be* a UserError by inheritance, with a traceback for its text
        inner: list[BaseException | None] = [error.cause]
    elif isinstance(error, UserError | RunError):
        return error
    else:
        inner = [*getattr(error, "worker_failures", {}).values(), error.__cause__, error.__context__]
    for candidate in inner:
        if candidate is not None and depth < 8:
            found = _find(candidate, depth + 1)
            if found is not None:
                return found
    return None
