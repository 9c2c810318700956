"""How a delta is moved along its loss: projected gradient descent, and Adam on a penalised loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ue_ray.noise.budget import Budget


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


def penalised(
    loss: Callable[[Tensor], Tensor], delta: Tensor, budget: Budget, step_size: float, steps: int, weight: float = 1.0
) -> Tensor:
    """Eq. 5 of the paper (Appendix I, where it is called L-BFGS and solved by Adam, as here): ``steps`` steps towards a
    smaller ``weight * |delta|^2 + loss(delta)``.

    The penalty alone does not keep delta in the budget: each step is projected into it. ``loss`` as for ``pgd``.
    """
    delta = delta.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([delta], lr=step_size)
    for _ in range(steps):
        (delta.grad,) = torch.autograd.grad(loss(delta) + weight * delta.square().sum(), delta)
        optimizer.step()
        with torch.no_grad():
            delta.copy_(budget.project(delta))
    return delta.detach()


def straight_through(values: Tensor, forwards: Tensor) -> Tensor:
    """Returns ``forwards``, what rounding or clipping made of ``values``; backwards the gradient passes as if it were
    ``values`` (Bengio, Leonard, Courville, 2013)."""
    return values + (forwards - values).detach()
