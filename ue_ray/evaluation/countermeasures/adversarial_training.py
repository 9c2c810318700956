"""Adversarial training: moves every batch against the network that it trains (Madry et al., 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ue_ray.evaluation.countermeasures.base import Countermeasure, whole
from ue_ray.learning.steps import frozen
from ue_ray.noise.budget import Budget
from ue_ray.noise.pgd import pgd

STEPS = 10


class AdversarialTraining(Countermeasure):
    """``adversarial-training-8``: PGD within 8/255, from a random start, ten steps of a quarter of that: 2/255, and
    1/255 within 4/255."""

    forms = "adversarial-training-1 ... adversarial-training-32"

    def __init__(self, parameter: str) -> None:
        self.levels = whole(parameter, 1, 32)

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        budget = Budget(self.levels / 255)
        start = (2 * torch.rand(images.shape, generator=generator) - 1) * budget.epsilon
        start = start.to(images.device, non_blocking=True)

        def loss(delta: Tensor) -> Tensor:
            return functional.cross_entropy(network((images + delta).clamp(0, 1)), targets, reduction="sum")

        with frozen(network):
            delta = pgd(loss, start, budget, budget.epsilon / 4, STEPS, maximise=True)
        return (images + delta).clamp(0, 1), targets
