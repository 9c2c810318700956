"""What every method of making noise is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from torch import Tensor

from ue_ray.batches import Batch, Windows
from ue_ray.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.canvas import spread
from ue_ray.noise.checkpoint import Checkpoints
from ue_ray.noise.config import Granularity, NoiseConfig
from ue_ray.noise.deltas import ClassDeltas
from ue_ray.noise.rounds import Report

KEPT_BYTES = 256 << 20  # of class-wise deltas at the images' own sizes


class NoiseMethod(ABC):
    """Crafts a noise from a collection, and gives each image its delta.

    ``craft`` runs on every worker alike and returns the artifact on worker 0, None on the others. ``delta`` is what a
    method is about; ``perturb`` wraps it, so no method can leave the budget.
    """

    granularities: ClassVar[tuple[Granularity, ...]] = ("class-wise", "sample-wise")

    @staticmethod
    def uses_network(config: NoiseConfig) -> bool:
        """Whether an image's delta is computed from it by the surrogate, and not looked up or drawn."""
        return config.granularity == "sample-wise"

    def __init__(self, config: NoiseConfig, compute: Compute) -> None:
        self.config = config
        self.compute = compute
        self._kept: dict[tuple[int, ...], np.ndarray] = {}  # (class, height, width) -> int16 [H,W,3]
        self._kept_bytes = 0

    @abstractmethod
    def craft(
        self, windows: Windows, deltas: ClassDeltas, report: Report, checkpoints: Checkpoints
    ) -> NoiseArtifact | None:
        """Run the method's optimisation, from its last checkpoint if there is one.

        ``deltas`` is the shared table that class-wise noise lives in.
        """

    @abstractmethod
    def restore(self, artifact: NoiseArtifact) -> None:
        """Take up a crafted artifact, to perturb images with it."""

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
        return [self.config.budget.apply(*pair) for pair in zip(images, levels(images, batch), strict=True)]

    def _sample_levels(self, images: Sequence[np.ndarray], batch: Batch) -> list[np.ndarray]:
        """What is added to each image, int16 [H,W,3]; those of one size are spread together."""
        deltas = self.perturb(batch)
        found: list[np.ndarray] = [np.empty(0)] * len(images)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for row, image in enumerate(images):
            by_size.setdefault(image.shape[:2], []).append(row)
        for (height, width), rows in by_size.items():
            levels = self.config.budget.round(spread(deltas[rows], height, width))
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
