"""How a victim is trained: the paper's recipe, and a faster one that reaches more in the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ue_ray.learning.steps import cosine_learning_rate

WARM_UP = 0.25  # share of the steps in which one cycle's learning rate rises


def one_cycle(highest: float, epoch: float, epochs: int) -> float:
    """Returns the learning rate at ``epoch``, which may be a fraction: up to ``highest`` in a quarter, then down to 0.

    Both ways in a straight line (Smith & Topin, Super-Convergence, 2019).
    """
    done = epoch / epochs
    return highest * (done / WARM_UP if done < WARM_UP else (1 - done) / (1 - WARM_UP))


@dataclass(frozen=True)
class Recipe:
    """``schedule``: of (the learning rate, the epoch, all epochs). All use momentum 0.9 and weight decay 5e-4."""

    epochs: int
    learning_rate: float
    schedule: Callable[[float, float, int], float]
    nesterov: bool = False
    label_smoothing: float = 0.0


RECIPES = {
    "fast": Recipe(12, 0.12, one_cycle, nesterov=True, label_smoothing=0.1),
    "paper": Recipe(60, 0.025, cosine_learning_rate),  # Appendix B
}
