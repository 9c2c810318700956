"""One victim, trained by this process alone or together with others."""

from __future__ import annotations

from typing import Any

from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.evaluation.training import Epoch
from ue_ray.evaluation.victim import run_victim
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.collectives import rank
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions


def train_one(
    run: VictimRun, train: LabelledImages, test: LabelledImages, compute: Compute, store: VictimRuns, epochs: Any
) -> dict[str, Any]:
    """What came of ``run``, kept in ``store``; the actor ``epochs`` (``Epochs``) is told of each as it ends.

    Of several workers that call it together the first does both.
    """

    def on_epoch(epoch: Epoch) -> None:
        if rank() == 0:
            epochs.reached.remote(run.file_name, epoch.epoch)

    result = run_victim(train, test, run.train_set, run.countermeasure, run.plan, compute, run.verified, on_epoch)
    result |= {"workers": run.workers, "machine": machine(), "versions": versions()}
    if rank() == 0:
        store.write(run, result)
    return result
