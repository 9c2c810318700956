"""Trains one victim, in this process alone or together with others."""

from __future__ import annotations

from typing import Any

from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.evaluation.training import Epoch
from ue_ray.evaluation.victim import run_victim
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.collectives import rank
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions


def train_victim(
    run: VictimRun, train: LabelledImages, test: LabelledImages, compute: Compute, store: VictimRuns, epochs: Any
) -> dict[str, Any]:
    """Trains the victim and returns its entry of results.json; keeps the entry in ``store``.

    The actor ``epochs`` (``Epochs``) is told when an epoch ends. Several workers call this together; only the first
    writes and tells.
    """

    def on_epoch(epoch: Epoch) -> None:
        if rank() == 0:
            epochs.reached.remote(run.file_name, epoch.epoch, epoch.test_accuracy)

    entry = run_victim(train, test, run.train_set, run.countermeasure, run.plan, compute, run.pair_classes, on_epoch)
    entry |= {"workers": run.workers, "machine": machine(), "versions": versions()}
    if rank() == 0:
        store.write(run, entry)
    return entry
