"""A run's figures, for whoever scrapes Ray's metrics (docs/clusters.md). Ray exports each name with ``ray_`` before it.

The driver records them, from what it hears of workers all the same: a figure outlives the worker that it came from.
"""

from __future__ import annotations

from contextlib import suppress
from string import printable
from typing import Any
from urllib.parse import quote

from ray.util.metrics import Counter, Gauge

from ue_ray.distributed.boards import Reached
from ue_ray.evaluation.runs import VictimRun
from ue_ray.noise.crafting.rounds import Round
from ue_ray.storage.outputs.shards import ShardRecord

COUNTERS = {
    "ue_ray_images_protected_total": "Images in finished shards, those too that a resumed run found",
    "ue_ray_images_rejected_total": "Images of finished shards that were rejected",
    "ue_ray_bytes_written_total": "Bytes of finished shards",
}
GAUGES = {
    "ue_ray_crafting_round": "The last round of crafting",
    "ue_ray_crafting_error": "The share of images that the surrogate misclassifies, in [0, 1]",
    "ue_ray_crafting_images_per_second": "Images that passed through the surrogate, a second",
    "ue_ray_victim_epoch": "The last epoch of a victim",
    "ue_ray_victim_test_accuracy": "A victim's accuracy on clean test images, in [0, 1]",
}


class Metrics:
    """The figures of the run whose output is the URI ``run``. Nothing here raises: being watched fails no run."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._made: dict[str, Any] = {}

    def shard(self, record: ShardRecord) -> None:
        """Counts a shard that is finished."""
        self._add("ue_ray_images_protected_total", record.protected)
        self._add("ue_ray_images_rejected_total", record.rejected)
        self._add("ue_ray_bytes_written_total", sum(file.bytes for file in record.files))

    def crafting(self, entry: Round) -> None:
        """Says where crafting is."""
        self._set("ue_ray_crafting_round", entry.round)
        self._set("ue_ray_crafting_error", entry.error)
        self._set("ue_ray_crafting_images_per_second", entry.images_per_second)

    def victim(self, run: VictimRun, reached: Reached) -> None:
        """Says where a victim is."""
        tags = {
            "victim": run.plan.model,
            "train_set": run.train_set,
            "countermeasure": run.countermeasure,
            "seed": str(run.plan.seed),
        }
        self._set("ue_ray_victim_epoch", reached.epoch, **tags)
        self._set("ue_ray_victim_test_accuracy", reached.test_accuracy, **tags)

    def _add(self, name: str, amount: int) -> None:
        if amount:  # Ray takes none of 0
            with suppress(Exception):
                self._metric(Counter, name, COUNTERS[name], {}).inc(amount, self._tags({}))

    def _set(self, name: str, value: float, **tags: str) -> None:
        with suppress(Exception):
            self._metric(Gauge, name, GAUGES[name], tags).set(value, self._tags(tags))

    def _metric(self, kind: Any, name: str, description: str, tags: dict[str, str]) -> Any:
        if name not in self._made:
            self._made[name] = kind(name, description, tag_keys=("run", *tags))
        return self._made[name]

    def _tags(self, tags: dict[str, str]) -> dict[str, str]:
        """Ray takes ASCII alone: all else as in a URI."""
        return {name: quote(value, safe=printable) for name, value in {"run": self._run, **tags}.items()}
