"""TAP: adversarial noise towards another class (Fowl et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ue_ray.noise.budget import Budget
from ue_ray.noise.config import Granularity
from ue_ray.noise.crafting.surrogate import Move, Surrogate
from ue_ray.noise.methods.error_maximizing import ErrorMaximizing


class TAP(ErrorMaximizing):
    """Error-maximizing noise with a target: each class is made to look like the next one, to a network that knows both.

    A surrogate is trained on clean images; then each delta takes 250 steps of epsilon / 20 towards a smaller loss with
    the label y + 1 (the last class takes the first's), through crops and flips. Whoever trains on that learns the
    features of the next class under the name of this one. (The paper allows any permutation that leaves no class in
    place.) Class-wise, a class's delta takes a step a batch, until 80 % of the images are taken for the next class.
    """

    @classmethod
    def defaults(
        cls, granularity: Granularity, budget: Budget, given: Mapping[str, Any], images: int, gpu: bool
    ) -> dict[str, Any]:
        values = super().defaults(granularity, budget, given, images, gpu) | {"views": ("crop", "flip")}
        if granularity == "sample-wise":
            values |= {"pgd_steps": 250, "step_size": budget.epsilon / 20}
        return values

    def mover(self, surrogate: Surrogate) -> Move:
        classes = len(self.config.class_names)

        def move(images: Tensor, delta: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
            moved, elsewhere = surrogate.minimise(images, delta, (labels + 1) % classes, seed)
            return moved, len(labels) - elsewhere

        return move
