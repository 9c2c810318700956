"""What a cluster holds and whether it grows, from what Ray reports. No Ray is started."""

import json

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


@pytest.mark.parametrize(
    ("active", "address", "grows"),
    [
        ({"node_a1": 1, "node_b2": 1}, "10.0.0.1:6379", False),
        ({"ray.head.default": 1}, "10.0.0.1:6379", True),
        ({"node_big": 1}, "10.0.0.1:6379", True),
        (None, "10.0.0.1:6379", True),
        (None, None, False),
    ],
)
def test_a_cluster_grows_where_an_autoscaler_names_its_nodes(monkeypatch, active, address, grows):
    status = json.dumps({"autoscaler_report": {"active_nodes": active}}) if active else None
    monkeypatch.setattr(cluster, "_internal_kv_get", lambda key: status)
    monkeypatch.setattr("ray.nodes", lambda: NODES)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    assert cluster.grows() is grows
