"""Uniform random noise in the budget: the paper's first baseline, and every evaluation's control."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ue_ray.noise.base import DataFreeMethod
from ue_ray.noise.crafting.batches import own_generator


class Random(DataFreeMethod):
    """Each delta from a generator of its own, seeded by the class or the sample."""

    def draw(self, class_name: str, sample_id: str | None) -> Tensor:
        side = self.config.canvas
        drawn = own_generator(self.config.seed, class_name if sample_id is None else sample_id).uniform(
            -1, 1, (3, side, side)
        )
        return torch.from_numpy(drawn.astype(np.float32)) * self.config.budget.epsilon
