"""The network that crafts the noise: trained a little on perturbed images, asked for the gradient of its loss."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional

from ue_ray.learning.compute import Compute
from ue_ray.learning.models import build
from ue_ray.learning.steps import WeightSteps, cosine_learning_rate, frozen
from ue_ray.noise.canvas import spread, spread_patch
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafting.options import CraftOptions, Solver
from ue_ray.noise.crafting.views import random_view
from ue_ray.noise.pgd import penalised, pgd, straight_through

Move = Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""Images, deltas, labels and a seed -> the new deltas, and a count of images: ``Surrogate.minimise`` is one."""


class Surrogate:
    """The same weights on every worker."""

    def __init__(self, config: NoiseConfig, options: CraftOptions, compute: Compute) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.options = options
        self.solver: Solver = getattr(options, "solver", "pgd")
        self.compute = compute
        self.network = compute.place(build(options.surrogate, len(config.class_names), config.image_size))
        self._forward = compute.forward(self.network)
        self._training: WeightSteps | None = None

    def weight_step(self, images: Tensor, delta: Tensor, labels: Tensor, global_count: int, seed: int) -> Tensor:
        """``Optimize(x + delta, y, theta)`` of Algorithm 1; returns the number of wrong predictions on this worker."""
        return self._train(self.seen(images, delta, seed), labels, global_count)

    def _train(self, seen: Tensor, labels: Tensor, global_count: int) -> Tensor:
        return self._weight_steps().step(seen, labels, global_count)[1]

    def _weight_steps(self) -> WeightSteps:
        if self._training is None:  # a surrogate that only perturbs never trains
            self._training = WeightSteps(self.network, self.compute, self.options.learning_rate)
        return self._training

    def decay(self, progress: float) -> None:
        """The learning rate on a cosine from its initial value to zero, as ``progress`` goes from 0 to 1."""
        rate = cosine_learning_rate(self.options.learning_rate, progress, 1)
        self._weight_steps().optimizer.param_groups[0]["lr"] = rate

    def minimise(self, images: Tensor, delta: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Algorithm 1's ``Perturbation``: T steps of the solver from ``delta`` towards a smaller loss.

        Returns the new delta and the number of images still misclassified at the last step's start: the evaluation
        comes out of the pass that runs anyway.
        """
        return self._moved(images, delta, labels, seed, maximise=False)

    def maximise(self, images: Tensor, delta: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """The same steps towards a larger loss: error-maximizing (adversarial) noise."""
        return self._moved(images, delta, labels, seed, maximise=True)

    def _moved(self, images: Tensor, delta: Tensor, labels: Tensor, seed: int, maximise: bool) -> tuple[Tensor, Tensor]:
        budget, options = self.config.budget, self.options
        wrong = torch.zeros((), dtype=torch.int64, device=images.device)

        steps = count()

        def loss(delta: Tensor) -> Tensor:
            step = seed + next(steps)  # each step another place and view
            logits = self.logits(self.disturbed(self.seen(images, delta, step), labels, step))
            wrong.copy_((logits.argmax(1) != labels).sum())
            return functional.cross_entropy(logits, labels, reduction="sum")

        with frozen(self.network):
            if self.solver == "l-bfgs":
                return penalised(loss, delta, budget, options.step_size, options.pgd_steps), wrong
            return pgd(loss, delta, budget, options.step_size, options.pgd_steps, maximise), wrong

    def logits(self, seen: Tensor) -> Tensor:
        """Returns float32 [N,K] for what the network sees, float32 [N,3,S,S] in [0, 1]."""
        with self.compute.autocast():
            return self._forward(seen).float()

    def seen(self, images: Tensor, delta: Tensor, seed: int) -> Tensor:
        """Returns what the network sees of ``images``: perturbed, through the view of ``seed``."""
        return random_view(self.options.views, self._perturbed(images, delta, seed), seed)

    def disturbed(self, seen: Tensor, labels: Tensor, seed: int) -> Tensor:
        """Returns what an adversary makes of what the network would see while deltas are moved: here there is none."""
        return seen

    def _perturbed(self, images: Tensor, delta: Tensor, seed: int) -> Tensor:
        height, width = images.shape[-2:]
        if self.config.patch is None:
            return perturbed(images, spread(delta, height, width))
        return perturbed(images, spread_patch(delta, height, width, self.config.patch_share, seed))

    def tensors(self) -> dict[str, Tensor]:
        """The weights, to be kept in an artifact."""
        return {
            f"surrogate.{name}": value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        prefix = "surrogate."
        state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        self.network.load_state_dict(state)

    def training_tensors(self) -> dict[str, Tensor]:
        """The weights and the optimiser's momentum, to go on training from."""
        momentum = self._weight_steps().momentum()
        return self.tensors() | {f"momentum.{name}": value.cpu().contiguous() for name, value in momentum.items()}

    def load_training(self, tensors: dict[str, Tensor]) -> None:
        self.load(tensors)
        prefix = "momentum."
        momentum = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        self._weight_steps().load_momentum(momentum)


def perturbed(images: Tensor, delta: Tensor) -> Tensor:
    """``x + delta`` clipped to [0, 1], the gradient passing the clip straight through, as in the authors' code.

    Without that, a pixel that delta has pushed out of range would never get a gradient again.
    """
    moved = images + delta
    return straight_through(moved, moved.clamp(0, 1))
