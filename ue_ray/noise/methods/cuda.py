"""CUDA: each class is blurred in a way of its own (Sadasivan et al., "CUDA: Convolution-based Unlearnable Datasets",
CVPR 2023)."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.budget import Budget
from ue_ray.noise.changed import ChangedNoise
from ue_ray.noise.crafted import Noise
from ue_ray.noise.crafting.batches import own_generator
from ue_ray.noise.crafting.options import CUDAOptions


class CUDA(NoiseMethod):
    """Each class draws a kernel of weights between 0 and ``blur``, of which one, anywhere in it, is 1.

    A protected image is its convolution with the kernel of its class, the same for all channels, with zeros around the
    image, divided by its largest value. The authors number the classes, and cut off to whole levels; here a class draws
    by its name, and is the same whoever else is protected, and values are rounded.

    Nothing bounds the change: pixels move by up to their whole range. It is measured.
    """

    granularities = ("class-wise",)
    needs_data = False
    budget = Budget(1, "unbounded")
    Options = CUDAOptions

    @cached_property
    def kernels(self) -> np.ndarray:
        """Those of all classes, float32 [K,k,k]."""
        return np.stack([self._kernel(name) for name in self.config.class_names])

    def _kernel(self, class_name: str) -> np.ndarray:
        chance, side = own_generator(self.config.seed, class_name), self.options.kernel_size
        kernel = chance.uniform(0, self.options.blur, (side, side)).astype(np.float32)
        kernel[tuple(chance.integers(side, size=2))] = 1
        return kernel

    def noise(self, artifact: NoiseArtifact) -> Noise:
        return Blurred(self)


class Blurred(ChangedNoise):
    """Convolves each image with the kernel of its class."""

    def __init__(self, method: CUDA) -> None:
        super().__init__(method.config, method.compute)
        self.kernels = method.kernels

    def change(self, image: np.ndarray, label: int) -> np.ndarray:
        kernel = self.kernels[label]
        height, width = image.shape[:2]
        margin = len(kernel) // 2
        around = np.pad(image.astype(np.float32), ((margin, margin), (margin, margin), (0, 0)))
        blurred = np.zeros(image.shape, np.float32)
        for row, column in np.ndindex(kernel.shape):
            blurred += kernel[row, column] * around[row : row + height, column : column + width]
        largest = float(blurred.max())
        return np.rint(blurred * np.float32(255 / largest)).astype(np.uint8) if largest else image.copy()
