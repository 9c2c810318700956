"""The pass over the data that moves one delta a class: Algorithm 1's inner loop in its class-wise form."""

from __future__ import annotations

import torch

from ue_ray.learning.collectives import sum_over_workers
from ue_ray.noise.crafting.batches import Window
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.surrogate import Surrogate


def delta_pass(
    surrogate: Surrogate, deltas: ClassDeltas, window: Window, version: int, seed: int, maximise: bool = False
) -> tuple[float, int]:
    """Every global batch of ``window``: each sample steps from its class's delta, the class takes the projected mean.

    Returns the share of images misclassified as the pass went, and the table's new version.
    """
    wrong = torch.zeros((), dtype=torch.int64, device=surrogate.compute.device)
    move = surrogate.maximise if maximise else surrogate.minimise
    for batch in window.batches(seed):
        classes, members = batch.labels.unique(return_inverse=True)
        current = deltas.pull(classes, version)
        stepped, missed = move(batch.images, current[members], batch.labels, seed + version)
        sums = torch.zeros_like(current).index_add_(0, members, stepped)
        counts = torch.bincount(members, minlength=len(classes)).to(torch.float32)
        deltas.push(version, classes, sums, counts)
        version += 1
        wrong += missed
    return int(sum_over_workers(wrong)) / len(window), version
