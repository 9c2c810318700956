"""A run's figures, as Ray is given them, and the dashboard that shows them. No Ray is started."""

import json
import re
from pathlib import Path

import pytest

from ue_ray.distributed import metrics
from ue_ray.distributed.boards import Reached
from ue_ray.distributed.metrics import COUNTERS, GAUGES, Metrics
from ue_ray.evaluation.runs import VictimRun
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.noise.crafting.rounds import Round
from ue_ray.storage.outputs.shards import FileRecord, ShardRecord

pytestmark = pytest.mark.ray  # not started, but imported
DASHBOARD = Path(__file__).parents[2] / "cluster" / "grafana-dashboard.json"
SHARD = ShardRecord(0, 7, 0, (FileRecord("a", 7, 100, ""), FileRecord("b", 0, 20, "")), {})


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
    watched = Metrics("out")
    watched.shard(ShardRecord(0, 7, 1, SHARD.files, {}))
    watched.crafting(Round(3, 0.25, 100.0, 9.0, "error below 0.1"))
    run = VictimRun(TrainingPlan("resnet18", 2, seed=5), "clean", "jpeg-50", "a", "b", 32)
    watched.victim(run, Reached(4, 0.5))
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
    watched.crafting(Round(1, 0.5, 1.0, 1.0, ""))


def test_the_name_of_a_run_may_be_in_any_script(given):
    """Ray raises for a tag that is not ASCII."""
    Metrics("/data/été").shard(SHARD)
    assert given["ue_ray_images_protected_total"][1] == {"run": "/data/%C3%A9t%C3%A9"}


def test_the_dashboard_shows_all_figures_and_no_other():
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    shown = {name for query in queries for name in re.findall(r"\bray_(ue_ray_\w+)", query)}
    assert shown == COUNTERS.keys() | GAUGES.keys()
    assert all(re.findall(r"\bray_\w+", query) for query in queries)


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
