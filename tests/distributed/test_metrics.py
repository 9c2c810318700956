"""A run's figures, as Ray is given them, and the dashboard that shows them."""

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
import ray

from ue_ray.distributed import metrics
from ue_ray.distributed.boards import Reached
from ue_ray.distributed.metrics import COUNTERS, GAUGES, Metrics
from ue_ray.evaluation.runs import VictimRun
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.noise.crafting.rounds import Round
from ue_ray.storage.outputs.shards import FileRecord, ShardRecord

pytestmark = pytest.mark.ray  # of most tests not started, but imported
DASHBOARD = Path(__file__).parents[2] / "cluster" / "grafana-dashboard.json"
VICTIM = VictimRun(TrainingPlan("resnet18", 2, seed=5), "clean", "jpeg-50", "a", "b", 32)
ROUND = Round(3, 0.25, 100.0, 9.0, "error below 0.1")
SHARD = ShardRecord(0, 7, 1, (FileRecord("a", 7, 100, ""), FileRecord("b", 0, 20, "")), {})


def record_all(watched):
    watched.shard(SHARD)
    watched.crafting(ROUND)
    watched.victim(VICTIM, Reached(4, 0.5))


def queried():
    """The metrics that the dashboard shows."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return {name for query in queries for name in re.findall(r"\bray_\w+", query)}


@pytest.fixture
def given(monkeypatch):
    """What Ray was given: name -> value and tags."""
    kept = {}

    class Kept:
        def __init__(self, name, description, tag_keys):
            assert description
            self.name, self.tag_keys = name, tag_keys

        def set(self, value, tags):
            assert sorted(tags) == sorted(self.tag_keys)
            kept[self.name] = value, tags

        def inc(self, value, tags):
            assert value > 0  # Ray's own rule
            self.set(kept.get(self.name, (0, None))[0] + value, tags)

    monkeypatch.setattr(metrics, "Counter", Kept)
    monkeypatch.setattr(metrics, "Gauge", Kept)
    return kept


def test_shards_are_counted(given):
    watched = Metrics("s3://bucket/out")
    for rejected in (0, 3):
        watched.shard(ShardRecord(0, 7, rejected, SHARD.files, {}))
    run = {"run": "s3://bucket/out"}
    assert given == {
        "ue_ray_images_protected_total": (14, run),
        "ue_ray_images_rejected_total": (3, run),
        "ue_ray_bytes_written_total": (240, run),
    }


def test_every_figure_is_given_by_something(given):
    record_all(Metrics("out"))
    assert given.keys() == COUNTERS.keys() | GAUGES.keys()
    assert given["ue_ray_crafting_error"] == (0.25, {"run": "out"})
    tags = {"run": "out", "victim": "resnet18", "train_set": "clean", "countermeasure": "jpeg-50", "seed": "5"}
    assert given["ue_ray_victim_test_accuracy"] == (0.5, tags)


def test_no_run_fails_by_its_metrics(monkeypatch):
    def broken(*arguments, **keywords):
        raise OSError("no agent")

    monkeypatch.setattr(metrics, "Counter", broken)
    monkeypatch.setattr(metrics, "Gauge", broken)
    watched = Metrics("out")
    watched.shard(SHARD)
    watched.crafting(ROUND)


def test_the_name_of_a_run_may_be_in_any_script(given):
    """Ray raises for a tag that is not ASCII."""
    Metrics("/data/été").shard(SHARD)
    assert given["ue_ray_images_protected_total"][1] == {"run": "/data/%C3%A9t%C3%A9"}


def test_the_dashboard_shows_all_figures_and_no_other():
    assert {name for name in queried() if name.startswith("ray_ue_ray_")} == {
        f"ray_{name}" for name in (*COUNTERS, *GAUGES)
    }


def test_prometheus_is_given_what_the_dashboard_asks_for(ray_cluster):
    """All of it: also what Ray itself exports, but for that of GPUs."""
    record_all(Metrics("of this test"))
    (node,) = ray.nodes()
    asked = {name for name in queried() if "gpus" not in name}
    late = time.monotonic() + 90  # Ray collects every ten seconds
    while (missing := asked - exported(node["MetricsExportPort"])) and time.monotonic() < late:
        time.sleep(0.5)
    assert not missing


def exported(port):
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return set(re.findall(r"^(\w+)\{", answer.read().decode(), re.MULTILINE))
    return set()


def test_the_dashboard_is_laid_out_on_grafanas_grid():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells), "panels overlap"
    assert max(x for x, _ in cells) < 24
