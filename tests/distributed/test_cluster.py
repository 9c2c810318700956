"""What a cluster holds, from what Ray reports. No Ray is started."""

import logging
import os
import signal

import pytest
import ray.data

from ue_ray.distributed import cluster

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
