"""What a cluster holds, from what Ray reports. No Ray is started."""

import pytest

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
