"""Joining a Ray cluster, or starting a local one; and what it holds."""

from __future__ import annotations

import logging
import math
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
import ray.data
from ray.util import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ue_ray.distributed.console import say
from ue_ray.errors import RunError, UserError

_CONNECTED = threading.Event()
LONGEST_WAIT = 1800  # seconds, in which the largest of machines is started
WAIT_INTERVAL = 10
SILENT = logging.CRITICAL + 1


def connect() -> None:
    """Joins the cluster that ``RAY_ADDRESS`` names (``ray job submit`` sets it); without it, starts a local Ray.

    A bare ``ray.init()`` would join whatever cluster runs on this machine. Where the caller has called ``ray.init``
    already, nothing is done, and nothing of the caller's is changed: no variable, no logger, no setting of Ray Data.
    Raises UserError if there is no cluster at ``RAY_ADDRESS``.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # each actor pool prints a C++ remark about restarts
    # The first failure of a task is raised here. Ray would also print the traceback of each other one.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    try:
        with own_handlers(), _without_its_log_level():
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
    for name in ("ray", "ray.data", "ray.train"):  # what fails is raised; Ray's own lines are in its session's logs
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setLevel(SILENT)


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


@contextmanager
def _without_its_log_level() -> Iterator[None]:
    """Keeps off standard error the line in which Ray's C++ says its log level; all else appears at the end."""
    with tempfile.TemporaryFile() as said:
        console = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(console, 2)
            os.close(console)
            said.seek(0)
            for line in said:
                if b"Set ray log level" not in line:
                    os.write(2, line)


def cpus() -> float:
    """Returns the number of CPUs of the cluster."""
    return float(ray.cluster_resources().get("CPU", 1))


def has_cpus() -> bool:
    """Returns whether there is a node with CPUs now."""
    return any(node.get("CPU") for node in _live_nodes())


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


def on_workers(count: int) -> list[Any]:
    """Returns where to put ``count`` tasks or actors that take no CPU: on the nodes that have CPUs, those with the most
    memory first. Ray would put them on a head that has none, and little memory. Should a node be lost, any other does.

    They must not take a part of a CPU instead: made again after a loss, they would wait for those who wait for them.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    nodes.sort(key=lambda node: node["Resources"].get("memory", 0), reverse=True)
    places: list[Any] = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=True) for node in nodes] or ["SPREAD"]
    return [places[number % len(places)] for number in range(count)]


def wait_for_room(workers: int, share: Mapping[str, float], what: str) -> None:
    """Returns when ``workers`` of ``share`` (``{"CPU": 1, "GPU": 1}``) each have room; says that it waits.

    What waits here is what an autoscaler starts nodes for. Raises RunError after LONGEST_WAIT seconds.
    """
    group = placement_group([dict(share)] * workers)
    waited = 0
    try:
        while not group.wait(WAIT_INTERVAL):
            waited += WAIT_INTERVAL
            if waited >= LONGEST_WAIT:
                raise RunError(f"no room for {what} in {waited // 60} minutes: has the cluster nodes for them?")
            say(f"waiting for {what}, {waited} s")
    finally:
        remove_placement_group(group)


def _live_nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def joined() -> bool:
    """Returns whether this is somebody's cluster, which may grow, and not a local Ray of this process."""
    return "RAY_ADDRESS" in os.environ


def beside_the_driver(actor: type, *arguments: Any) -> Any:
    """Starts an actor that takes no CPU on the node of this process: it is lost only together with this process."""
    place = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(actor).options(num_cpus=0, scheduling_strategy=place).remote(*arguments)
