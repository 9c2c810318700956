"""The pass over the data that moves one delta a class: Algorithm 1's inner loop in its class-wise form."""

from __future__ import annotations

import torch

from ue_ray.learning.collectives import sum_over_workers
from ue_ray.noise.crafting.batches import Window
from ue_ray.noise.crafting.checkpoint import CraftState
from ue_ray.noise.crafting.surrogate import Move


def delta_pass(state: CraftState, window: Window, seed: int, move: Move) -> tuple[float, float]:
    """Runs every global batch of ``window``: each sample's delta moves on from its class's, the class takes the
    projected mean. ``state.version`` counts the batches.

    Returns the share of images that ``move`` has counted as the pass went, and the mean share of the budget that
    the deltas of the last batch take; both in [0, 1].
    """
    assert state.deltas is not None
    wrong = torch.zeros((), dtype=torch.int64, device=state.network.compute.device)
    for batch in window.batches(seed):
        classes, members, counts = batch.by_class()
        current = state.deltas.pull(classes, state.version)
        stepped, missed = move(batch.images, current[members], batch.labels, seed + state.version)
        sums = torch.zeros_like(current).index_add_(0, members, stepped)
        state.deltas.push(state.version, classes, sums, counts)
        state.version += 1
        wrong += missed
    shares = state.network.config.budget.shares(state.deltas.pull(classes, state.version))
    total = sum_over_workers(torch.stack([shares.sum(), torch.ones_like(shares).sum()]))
    return int(sum_over_workers(wrong)) / len(window), float(total[0] / total[1].clamp_min(1))
