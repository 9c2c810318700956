"""Joining a Ray cluster, or starting a local one; what it holds; and errors out of its tasks."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError, RayTaskError
from ray.train import TrainingFailedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ue_ray.errors import RunError, UserError

_CONNECTED = threading.Event()
DEEPEST_CAUSE = 8  # how far a chain of exceptions is followed


def connect() -> None:
    """Joins the cluster that ``RAY_ADDRESS`` names (``ray job submit`` sets it); without it, starts a local Ray.

    A bare ``ray.init()`` would join whatever cluster runs on this machine. Where the caller has called ``ray.init``
    already, nothing is done, and nothing of the caller's is changed: no variable, no logger, no setting of Ray Data.
    Raises UserError if there is no cluster at ``RAY_ADDRESS``.
    """
    if ray.is_initialized():
        return
    if not joined():  # each actor pool would print a C++ remark about restarts
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # The first failure of a task is raised here. Ray would also print the traceback of each other one.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    try:
        with own_handlers():
            ray.init(
                address=os.environ.get("RAY_ADDRESS", "local"),
                include_dashboard=None if joined() else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except ConnectionError as error:
        raise UserError(f"no Ray cluster at RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}: {error}") from None
    _CONNECTED.set()
    ray.data.DataContext.get_current().enable_progress_bars = False  # ours say more
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)


def leave() -> None:
    """Ends the Ray that ``connect`` has started, or leaves the cluster that it has joined; not the caller's own."""
    if _CONNECTED.is_set():
        ray.shutdown()
        _CONNECTED.clear()


@contextmanager
def own_handlers() -> Iterator[None]:
    """Puts the process's own signal handlers back: ``ray.init`` leaves one for SIGTERM, ``fit`` of Train for SIGINT."""
    if threading.current_thread() is not threading.main_thread():  # there, Ray sets none
        yield
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def cpus() -> float:
    """Returns the number of CPUs of the cluster."""
    return float(ray.cluster_resources().get("CPU", 1))


def gpus() -> float:
    """Returns the number of GPUs of the cluster."""
    return float(ray.cluster_resources().get("GPU", 0))


def largest_nodes() -> tuple[float, int]:
    """Returns the CPUs of the largest node, at least 1, and how many nodes have as many."""
    sizes = [max(1.0, float(resources.get("CPU", 0))) for resources in _live_nodes()]
    return max(sizes), sizes.count(max(sizes))


def node_shares(node_cpus: float, nodes: int, workers: int) -> tuple[float, float]:
    """Returns the CPUs of each of ``workers`` that craft on ``nodes`` of ``node_cpus`` each, and of each task that
    decodes images for them.

    When a node is lost, its workers move to a node that is left, as many as fit. The shares are chosen so that one
    decoding task still fits beside them, and one more worker does not.
    """
    workers_a_node = math.ceil(workers / nodes)
    decoding = _floor(min(1.0, node_cpus / (workers_a_node + 2)))
    return _floor((node_cpus - decoding) / workers_a_node), decoding


def _floor(cpus: float) -> float:
    return math.floor(10_000 * cpus) / 10_000  # the precision of Ray's accounts


def room(cpus: float, gpus: float) -> int:
    """Returns how many workers of ``cpus`` CPUs, at least 1, and ``gpus`` GPUs each the empty nodes could hold."""
    share = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    return sum(min(int(node.get(name, 0) // amount) for name, amount in share.items()) for node in _live_nodes())


def _live_nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def joined() -> bool:
    """Returns whether this is somebody's cluster, which may grow, and not a local Ray of this process."""
    return "RAY_ADDRESS" in os.environ


def beside_the_driver(actor: type, *arguments: Any) -> Any:
    """Starts an actor that takes no CPU on the node of this process: it is lost only together with this process."""
    place = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(actor).options(num_cpus=0, scheduling_strategy=place).remote(*arguments)


@contextmanager
def causes() -> Iterator[None]:
    """Raises a worker's UserError or RunError as itself, without what the frameworks wrap around it; any other failure
    of a worker as a RunError of one line."""
    try:
        yield
    except Exception as error:
        cause = _cause(error)
        if cause is not None:
            raise cause from None
        if isinstance(error, RayError | TrainingFailedError):
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise RunError(f"{type(error).__name__}: {lines[-1].strip() if lines else 'no details'}") from error
        raise


def _cause(error: BaseException, depth: int = 0) -> UserError | RunError | None:
    if isinstance(error, RayTaskError):  # it may also *be* a UserError by inheritance, with a traceback for its text
        inner: list[BaseException | None] = [error.cause]
    elif isinstance(error, UserError | RunError):
        return error
    else:
        inner = [*getattr(error, "worker_failures", {}).values(), error.__cause__, error.__context__]
    for candidate in inner:
        if candidate is not None and depth < DEEPEST_CAUSE:
            cause = _cause(candidate, depth + 1)
            if cause is not None:
                return cause
    return None
