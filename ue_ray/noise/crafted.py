"""A crafted noise: gives each image its delta, inside the budget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ue_ray.learning.compute import Compute
from ue_ray.noise.canvas import lay, patch_size, spread
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafting.batches import Batch
from ue_ray.noise.crafting.sample_deltas import SampleTable
from ue_ray.noise.crafting.surrogate import Surrogate
from ue_ray.noise.delta_file import DeltaRows

KEPT_BYTES = 256 << 20  # of class-wise deltas at the images' own sizes
CHUNK = 64  # images that a surrogate perturbs together


class Noise(ABC):
    """``delta`` is what a noise is about; ``perturb`` wraps it, so none can leave the budget."""

    def __init__(self, config: NoiseConfig, compute: Compute) -> None:
        self.config = config
        self.compute = compute
        self._kept: dict[tuple[int, ...], np.ndarray] = {}  # (class, height, width) -> int16 [H,W,3]
        self._kept_bytes = 0

    @abstractmethod
    def delta(self, batch: Batch) -> Tensor:
        """float32 [N,3,s,s] on the canvas. Each sample's delta must depend on that sample alone, not on its batch."""

    def perturb(self, batch: Batch) -> Tensor:
        """Each image's delta inside the budget: float32 [N,3,s,s] on the CPU, s the canvas' side.

        Raises UserError when the artifact has nothing for a sample.
        """
        return self.config.budget.project(self.delta(batch)).cpu()

    def protect(self, images: Sequence[np.ndarray], batch: Batch) -> list[np.ndarray]:
        """Decoded images, uint8 [H,W,3] each of its own size, carrying their deltas: rounded once.

        ``batch`` holds the same images at the size at which the surrogate sees them.
        """
        levels = self._class_levels if self.config.granularity == "class-wise" else self._sample_levels
        return [
            self.config.budget.apply(image, lay(change, image.shape[0], image.shape[1], self.config.seed, sample_id))
            for image, change, sample_id in zip(images, levels(images, batch), batch.sample_ids, strict=True)
        ]

    def _sample_levels(self, images: Sequence[np.ndarray], batch: Batch) -> list[np.ndarray]:
        """What is added to each image, or to its patch, int16 [h,w,3]; those of one size are spread together."""
        deltas = self.perturb(batch)
        found: list[np.ndarray] = [np.empty(0)] * len(images)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for row, image in enumerate(images):
            by_size.setdefault(image.shape[:2], []).append(row)
        for (height, width), rows in by_size.items():
            size = patch_size(self.config.patch_share, height, width)
            levels = self.config.budget.round(spread(deltas[rows], *size))
            for row, channels_last in zip(rows, levels.permute(0, 2, 3, 1).contiguous().numpy(), strict=True):
                found[row] = channels_last
        return found

    def _class_levels(self, images: Sequence[np.ndarray], batch: Batch) -> Iterator[np.ndarray]:
        """The same, made once for each class and size and kept."""
        for row, (image, label) in enumerate(zip(images, batch.labels.tolist(), strict=True)):
            key = (label, *image.shape[:2])
            if key not in self._kept:
                one = Batch(
                    batch.images[row : row + 1], batch.labels[row : row + 1], batch.sample_ids[row : row + 1], 1
                )
                self._keep(key, self._sample_levels([image], one)[0])
            yield self._kept[key]

    def _keep(self, key: tuple[int, ...], levels: np.ndarray) -> None:
        while self._kept and self._kept_bytes + levels.nbytes > KEPT_BYTES:
            oldest = next(iter(self._kept))
            self._kept_bytes -= self._kept.pop(oldest).nbytes
        self._kept[key] = levels
        self._kept_bytes += levels.nbytes


class ClassNoise(Noise):
    """One delta a class, looked up."""

    def __init__(self, config: NoiseConfig, compute: Compute, deltas: DeltaRows) -> None:
        super().__init__(config, compute)
        self.deltas = deltas

    def delta(self, batch: Batch) -> Tensor:
        return self.deltas[batch.labels.cpu()]


class SampleNoise(Noise):
    """One delta a sample, looked up; there is none for a sample that it was not crafted on."""

    def __init__(self, config: NoiseConfig, compute: Compute, tensors: dict[str, Tensor]) -> None:
        super().__init__(config, compute)
        self.table = SampleTable.restore(config.budget, tensors)

    def delta(self, batch: Batch) -> Tensor:
        return self.table.get(batch.sample_ids, known=True)


class SurrogateNoise(Noise):
    """T steps of PGD from zero on the frozen surrogate, towards a smaller loss or, with ``maximise``, a larger one.

    In chunks of one fixed size, the last one padded: kernels choose their order of summation by the batch's size, and a
    sign turns the smallest difference into a whole step. So an image gets the same bits in whatever batch it comes.
    """

    def __init__(
        self, config: NoiseConfig, compute: Compute, tensors: dict[str, Tensor], maximise: bool = False
    ) -> None:
        super().__init__(config, compute)
        self.surrogate = Surrogate(config, compute)
        self.surrogate.load(tensors)
        self.move = self.surrogate.maximise if maximise else self.surrogate.minimise

    def delta(self, batch: Batch) -> Tensor:
        side = self.config.canvas
        parts = []
        for start in range(0, len(batch.labels), CHUNK):
            images = batch.images[start : start + CHUNK]
            labels = batch.labels[start : start + CHUNK]
            count = len(labels)
            if count < CHUNK:
                images = torch.cat([images, images.new_zeros(CHUNK - count, *images.shape[1:])])
                labels = torch.cat([labels, labels.new_zeros(CHUNK - count)])
            zero = torch.zeros(CHUNK, 3, side, side, device=images.device)
            parts.append(self.move(images, zero, labels, self.config.seed)[0][:count])
        return torch.cat(parts) if parts else torch.zeros(0, 3, side, side)
