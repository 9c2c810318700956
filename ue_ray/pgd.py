"""Projected gradient descent: the one signed-gradient loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ue_ray.budget import Budget


def pgd(
    loss: Callable[[Tensor], Tensor],
    delta: Tensor,
    budget: Budget,
    step_size: float,
    steps: int,
    maximise: bool = False,
) -> Tensor:
    """Eq. 3 of the paper: ``steps`` times ``delta <- project(delta -+ step_size * direction(gradient))``.

    ``loss`` maps delta, float [N,C,H,W] in [0, 1] units, to the *sum* of the samples' losses: with a sum, each sample's
    gradient does not depend on the batch it is in. Minimises (error-minimizing noise) unless ``maximise``.
    """
    signed_step = step_size if maximise else -step_size
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(delta), delta)
        delta = budget.project(delta.detach() + signed_step * budget.direction(gradient))
    return delta.detach()
