"""AR: noise that a class's own recursion makes (Sandoval-Segura et al., NeurIPS 2022)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ue_ray.learning.compute import Compute
from ue_ray.noise.base import DataFreeMethod
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafting.batches import own_generator

MARGIN = 4  # rows and columns that are cut off at the top and the left: 36x36 for a 32x32 image, as in the paper
LARGEST = 10.0  # value that a standard normal start may grow to; in the start itself it is about 4


class Autoregressive(DataFreeMethod):
    """Each pixel is a weighted sum of its eight neighbours above and to the left; each class has weights of its own.

    A class draws a 3x3 kernel a channel, whose last entry is 0 and whose sum is 1. From Gaussian noise, drawn by the
    class or the sample, each pixel but those of the first two rows and columns is replaced in turn by the kernel's sum
    over the 3x3 square that ends there. So one convolution a class takes all of its deltas to zero.

    Most kernels diverge, and a delta that does is one bright corner (a class of the published release is). About one in
    four does not; others are drawn again. The authors search for kernels that tell each other's deltas apart as well;
    here they are just drawn.

    The authors scale each delta to an L2 norm of 1. Under an L2 budget it is scaled to epsilon; under L-inf so that its
    largest value is epsilon, since cutting would break the recursion.
    """

    def __init__(self, config: NoiseConfig, compute: Compute) -> None:
        super().__init__(config, compute)
        self.kernels: dict[str, np.ndarray] = {}

    def draw(self, class_name: str, sample_id: str | None) -> Tensor:
        budget, name = self.config.budget, class_name if sample_id is None else sample_id
        start = own_generator(self.config.seed, name).standard_normal((3, *self._size))
        delta = fill(self.kernel(class_name), start)[:, MARGIN:, MARGIN:]
        size = np.linalg.norm(delta) if budget.norm == "l2" else np.abs(delta).max()
        return torch.from_numpy((delta * (budget.epsilon / size)).astype(np.float32))

    def kernel(self, class_name: str) -> np.ndarray:
        """Returns the kernels of a class's channels, float64 [3,3,3]; all stay bounded on the canvas."""
        if class_name not in self.kernels:
            chance = own_generator(self.config.seed, class_name)
            self.kernels[class_name] = np.stack([self._bounded(chance) for _ in range(3)])
        return self.kernels[class_name]

    @property
    def _size(self) -> tuple[int, int]:
        return self.config.canvas + MARGIN, self.config.canvas + MARGIN

    def _bounded(self, chance: np.random.Generator) -> np.ndarray:
        """Returns a kernel, float64 [3,3], of those that ``chance`` gives the first that does not diverge."""
        while True:
            kernel = chance.standard_normal((3, 3))
            kernel[2, 2] = 0
            kernel /= kernel.sum()
            with np.errstate(over="ignore", invalid="ignore"):
                filled = fill(kernel[None], chance.standard_normal((1, *self._size)))
            if np.abs(filled).max() <= LARGEST:  # not for NaN either
                return kernel


def fill(kernels: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Runs the recursion of ``kernels``, float64 [C,3,3], through ``start``, [C,s,s], in place, and returns it.

    A pixel hangs on pixels of earlier diagonals alone, so a diagonal is one step.
    """
    side = start.shape[-1]
    back = np.arange(-2, 1)
    for diagonal in range(4, 2 * side - 1):
        rows = np.arange(max(2, diagonal - side + 1), min(side, diagonal - 1))
        columns = diagonal - rows
        squares = start[:, rows[:, None, None] + back[:, None], columns[:, None, None] + back]
        start[:, rows, columns] = np.einsum("cnij,cij->cn", squares, kernels)
    return start
