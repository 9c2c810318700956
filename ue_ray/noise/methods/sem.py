"""SEM and REM: error-minimizing noise for a surrogate under attack (Liu et al., AAAI 2024; Fu et al., ICLR 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ue_ray.errors import UserError
from ue_ray.learning.compute import Compute
from ue_ray.learning.steps import frozen
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import Granularity, NoiseConfig
from ue_ray.noise.crafting.options import SEMOptions
from ue_ray.noise.crafting.surrogate import Surrogate, perturbed
from ue_ray.noise.methods.error_minimizing import ErrorMinimizing
from ue_ray.noise.pgd import pgd, straight_through


class AttackedSurrogate(Surrogate):
    """A surrogate that is trained adversarially, and whose images are disturbed while deltas are moved."""

    def __init__(self, config: NoiseConfig, options: SEMOptions, compute: Compute) -> None:
        super().__init__(config, options, compute)
        self.adversary = Budget(options.adversary_epsilon, config.budget.norm)
        self.steps = options.adversary_steps
        self.steps_a_disturbance = self.steps if options.adversary == "pgd" else 0

    def weight_step(self, images: Tensor, delta: Tensor, labels: Tensor, global_count: int, seed: int) -> Tensor:
        """One step of adversarial training on the perturbed images."""
        with frozen(self.network):
            attacked = self.attacked(self.seen(images, delta, seed), labels, seed, self.steps)
        return self._train(attacked, labels, global_count)

    def disturbed(self, seen: Tensor, labels: Tensor, seed: int) -> Tensor:
        """The gradient passes as if nothing had happened, as in the authors' code."""
        return straight_through(seen, self.attacked(seen, labels, seed, self.steps_a_disturbance))

    def attacked(self, seen: Tensor, labels: Tensor, seed: int, steps: int) -> Tensor:
        """Returns ``seen`` after ``steps`` of PGD from uniform noise, the same for all images so that none hangs on its
        batch. Float32 [N,3,S,S] in [0, 1]."""
        seen = seen.detach()

        def loss(push: Tensor) -> Tensor:
            return functional.cross_entropy(self.logits(perturbed(seen, push)), labels, reduction="sum")

        noise = torch.rand(1, *seen.shape[1:], generator=torch.Generator().manual_seed(seed))
        noise = noise.to(seen.device, non_blocking=True)
        start = self.adversary.project((2 * noise - 1) * self.adversary.epsilon).expand_as(seen)
        push = pgd(loss, start, self.adversary, self.adversary.epsilon / 5, steps, maximise=True)
        return perturbed(seen, push)


class SEM(ErrorMinimizing):
    """Stable error-minimizing noise, and with ``adversary`` pgd robust error-minimizing noise.

    Error-minimizing noise does not outlive adversarial training. REM makes it for a surrogate that is trained
    adversarially, and moves each delta on images that are under attack themselves: an attack a step. SEM puts uniform
    noise in the place of those attacks, which is cheaper and, its authors find, more stable; weight steps stay
    adversarial. Schedules, solver and the defaults of T, alpha and M are error-minimizing's. The adversary may go half
    as far as delta: 4/255 at 8/255, as in the papers.
    """

    Options = SEMOptions
    Network = AttackedSurrogate

    @classmethod
    def defaults(
        cls, granularity: Granularity, budget: Budget, given: Mapping[str, Any], images: int, gpu: bool
    ) -> dict[str, Any]:
        radius = given.get("adversary_epsilon", max(budget.epsilon / 2, 1 / 255))
        try:
            Budget(radius, budget.norm)
        except UserError as error:
            raise UserError(f"--adversary-epsilon: {error}") from None
        return super().defaults(granularity, budget, given, images, gpu) | {"adversary_epsilon": radius}
