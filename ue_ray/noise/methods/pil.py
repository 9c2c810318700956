"""PIL: noise of a linear classifier (Liu et al., "Perturbation-Induced Linearization", ICLR 2026)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ue_ray.learning.steps import frozen
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import Granularity
from ue_ray.noise.crafting.surrogate import Move, Surrogate
from ue_ray.noise.methods.error_maximizing import ErrorMaximizing
from ue_ray.noise.pgd import pgd

SHORTCUT = 0.9  # weight of the first loss; the second has the rest
MIDDLE = 0.5  # gray, at which all logits of the linear surrogate are zero


class PIL(ErrorMaximizing):
    """Noise that a linear classifier reads, on images in which it reads nothing more.

    A linear classifier f without bias is trained on clean images. Then each delta takes 30 steps of epsilon / 10
    towards a smaller 0.9 CE(f(-delta), y) + 0.1 KL(uniform, f(x + delta)): the noise alone, turned round, is the label,
    and the protected image is nothing. A network that trains on that becomes linear. The paper calls delta what is
    subtracted from the images; here, as everywhere, delta is what is added.

    Class-wise, a class's delta takes a step a batch, until the classifier fails on 80 % of the images. Images of more
    than 32 pixels a side are averaged for the classifier, so the noise on them is in blocks.
    """

    @classmethod
    def defaults(
        cls, granularity: Granularity, budget: Budget, given: Mapping[str, Any], images: int, gpu: bool
    ) -> dict[str, Any]:
        values = super().defaults(granularity, budget, given, images, gpu)
        values |= {"surrogate": "linear", "learning_rate": 0.01}
        return values | ({"pgd_steps": 30} if granularity == "sample-wise" else {})

    def mover(self, surrogate: Surrogate) -> Move:
        def move(images: Tensor, delta: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
            wrong, steps = torch.zeros((), dtype=torch.int64, device=images.device), count()
            gray = torch.full_like(images, MIDDLE)

            def loss(delta: Tensor) -> Tensor:
                step = seed + next(steps)
                protected = surrogate.logits(surrogate.seen(images, delta, step))
                alone = surrogate.logits(surrogate.seen(gray, -delta, step))
                wrong.copy_((protected.argmax(1) != labels).sum())
                uniform = torch.full_like(protected, 1 / protected.shape[1])
                shortcut = functional.cross_entropy(alone, labels, reduction="sum")
                emptiness = functional.cross_entropy(protected, uniform, reduction="sum")  # KL, but for a constant
                return SHORTCUT * shortcut + (1 - SHORTCUT) * emptiness

            options = self.options
            with frozen(surrogate.network):
                return pgd(loss, delta, self.config.budget, options.step_size, options.pgd_steps), wrong

        return move
