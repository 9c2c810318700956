"""What a cluster holds, from what Ray reports. No Ray is started."""

import logging
import os
import signal
from types import SimpleNamespace

import pytest
import ray.data

from ue_ray.distributed import cluster
from ue_ray.distributed.applying import apply
from ue_ray.distributed.crafting import workers as crafting
from ue_ray.distributed.gpus import use_gpu
from ue_ray.errors import RunError, UserError

pytestmark = pytest.mark.ray  # not started, but imported

NODES = [
    {"NodeID": "a1", "Alive": True, "Resources": {"CPU": 8.0}},
    {"NodeID": "b2", "Alive": True, "Resources": {"CPU": 16.0, "GPU": 4.0}},
    {"NodeID": "c3", "Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    {"NodeID": "d4", "Alive": True, "Resources": {}},
]


@pytest.mark.parametrize(
    ("cpus", "gpus", "held"), [(1, 0, 24), (5, 0, 4), (1, 1, 4), (8, 1, 2), (9, 0, 1), (17, 0, 0), (1, 5, 0)]
)
def test_a_worker_fits_into_one_node_that_is_there(monkeypatch, cpus, gpus, held):
    monkeypatch.setattr("ray.nodes", lambda: NODES)
    assert cluster.room(cpus, gpus) == held


def test_a_ray_that_the_caller_has_started_is_left_as_it_is(monkeypatch):
    def settings():
        levels = [logging.getLogger(name).level for name in ("ray.data", "ray.train")]
        return dict(os.environ), levels, ray.data.DataContext.get_current().enable_progress_bars

    before = settings()
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.init", lambda **options: pytest.fail("started again"))
    cluster.connect()
    assert settings() == before


def test_the_callers_signal_handlers_are_put_back(monkeypatch):
    """``ray.init`` leaves a handler of SIGTERM, and ``fit`` of Train one of SIGINT that ignores it."""

    def starts(**options):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", starts)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "fatal")
    monkeypatch.setenv("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    cluster.connect()
    cluster.leave()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


class Group:
    """A placement group that is ready after so many waits."""

    def __init__(self, waits: int) -> None:
        self.waits = waits

    def wait(self, seconds: int) -> bool:
        self.waits -= 1
        return self.waits < 0


@pytest.fixture
def asked(monkeypatch):
    """What was asked for; ``asked.waits``: how often it is not there yet."""
    asked = SimpleNamespace(waits=0, bundles=[], removed=0)

    def make(bundles):
        asked.bundles += bundles
        return Group(asked.waits)

    monkeypatch.setattr("ue_ray.distributed.cluster.placement_group", make)
    monkeypatch.setattr(
        "ue_ray.distributed.cluster.remove_placement_group", lambda group: vars(asked).update(removed=asked.removed + 1)
    )
    return asked


@pytest.mark.parametrize("waits", [0, 2])
def test_waiting_for_a_node_is_said(asked, capsys, waits):
    asked.waits = waits
    cluster.wait_for_room(2, {"CPU": 1, "GPU": 1}, "2 GPUs")
    assert asked.bundles == [{"CPU": 1, "GPU": 1}] * 2
    assert asked.removed == 1
    assert capsys.readouterr().err.splitlines() == ["waiting for 2 GPUs, 10 s", "waiting for 2 GPUs, 20 s"][:waits]


def test_waiting_for_what_does_not_come_ends(asked):
    asked.waits = 1_000_000
    with pytest.raises(RunError, match="no room for a GPU in 30 minutes"):
        cluster.wait_for_room(1, {"GPU": 1}, "a GPU")
    assert asked.removed == 1


@pytest.mark.parametrize(
    ("choice", "workers", "gpus", "joined", "used"),
    [
        ("no", 1, 4, False, False),
        ("auto", 1, 0, False, False),
        ("auto", 2, 2, False, True),
        ("auto", 2, 1, True, None),
        ("yes", 1, 0, False, None),
        ("yes", 4, 2, False, None),
        ("yes", 1, 0, True, True),
    ],
)
def test_gpus_that_can_never_come_are_refused(monkeypatch, choice, workers, gpus, joined, used):
    monkeypatch.setattr("ue_ray.distributed.cluster.gpus", lambda: float(gpus))
    monkeypatch.setattr("ue_ray.distributed.cluster.joined", lambda: joined)
    if used is None:
        with pytest.raises(UserError, match=f"{gpus} GPUs for --num-workers {workers}: give --"):
            use_gpu(choice, workers, "--num-workers")
    else:
        assert use_gpu(choice, workers, "--num-workers") is used


@pytest.mark.parametrize(
    ("node", "usable", "workers", "threads"),
    [("b2", 64, 1, 16), ("b2", 64, 3, 5), ("b2", 2.5, 1, 2), ("a1", 0.5, 1, 1), ("d4", 4, 2, 2)],
)
def test_threads_are_no_more_than_ray_and_the_container_give(monkeypatch, node, usable, workers, threads):
    monkeypatch.setattr("ray.nodes", lambda: NODES)
    monkeypatch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: node))
    monkeypatch.setattr("ue_ray.distributed.crafting.workers.usable_cpus", lambda: usable)
    assert crafting.threads(workers) == threads


def test_what_takes_no_cpu_is_put_where_cpus_and_memory_are(monkeypatch):
    nodes = [
        node
        | {"NodeID": 28 * node["NodeID"], "Resources": node["Resources"] | {"memory": 1e9 * len(node["Resources"])}}
        for node in NODES
    ]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    places = cluster.on_workers(3)
    assert [place.node_id for place in places] == [
        28 * "b2",
        28 * "a1",
        28 * "b2",
    ]  # neither the dead one nor a head without CPUs
    assert all(place.soft for place in places)
    monkeypatch.setattr("ray.nodes", lambda: nodes[2:])
    assert cluster.on_workers(2) == ["SPREAD"] * 2


@pytest.mark.parametrize(
    ("shards", "cpus", "is_joined", "sizes"),
    [(9, 4, True, (1, 4, 9)), (2, 4, True, (1, 2, 2)), (9, 0, True, (1, 1, 9)), (9, 4, False, (4, 4, 4))],
)
def test_applying_grows_with_the_cluster(monkeypatch, shards, cpus, is_joined, sizes):
    monkeypatch.setattr(apply, "cpus", lambda: cpus)
    monkeypatch.setattr(apply, "joined", lambda: is_joined)
    pool = apply._pool(shards)
    assert (pool.min_size, pool.initial_size, pool.max_size) == sizes
