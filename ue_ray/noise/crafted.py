"""A crafted noise: gives each image its delta, inside the budget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ue_ray.images.codec import resize
from ue_ray.learning.compute import Compute
from ue_ray.noise.canvas import lay, patch_size, spread
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafting.sample_deltas import SampleTable
from ue_ray.noise.crafting.surrogate import Move, Surrogate
from ue_ray.noise.delta_file import DeltaFile, DeltaRows

KEPT_BYTES = 128 << 20  # of class-wise deltas at the images' own sizes
CHUNK = 64  # images that a surrogate perturbs together


class Noise(ABC):
    """Perturbs images. A subclass says what each one's ``delta`` is; this class keeps it in the budget."""

    needs_images: ClassVar[bool] = False
    """Whether ``delta`` looks at the images."""

    def __init__(self, config: NoiseConfig, compute: Compute) -> None:
        self.config = config
        self.compute = compute
        self._levels: dict[tuple[int, ...], np.ndarray] = {}  # (class, height, width) -> int16 [H,W,3]
        self._levels_bytes = 0

    @abstractmethod
    def delta(self, images: Tensor | None, labels: Tensor, sample_ids: Sequence[str]) -> Tensor:
        """Returns float32 [N,3,s,s] in [0, 1] units, s the canvas' side.

        ``images`` float32 [N,3,S,S] in [0, 1], as the surrogate sees them, or None where the noise does not need them;
        ``labels`` int64 [N]. A sample's delta depends on that sample alone, not on its batch.
        """

    def perturb(self, images: Tensor | None, labels: Tensor, sample_ids: Sequence[str]) -> Tensor:
        """Returns each image's delta inside the budget: float32 [N,3,s,s] on the CPU.

        Raises UserError when the artifact has nothing for a sample.
        """
        return self.config.budget.project(self.delta(images, labels, sample_ids)).cpu()

    def expect(self, labels: np.ndarray) -> None:  # noqa: B027 (most noises fetch nothing)
        """Says of which classes the next images are, int64 [n], in their order; some of them may then be left out.

        What is fetched for them is then fetched once, in whatever order they come.
        """

    def protect(self, images: Sequence[np.ndarray], labels: np.ndarray, sample_ids: Sequence[str]) -> list[np.ndarray]:
        """Returns ``images``, uint8 [H,W,3] each of its own size, with their deltas added and rounded once.

        ``labels`` int64 [N] are indices into the artifact's classes.
        """
        levels = self._class_levels if self.config.granularity == "class-wise" else self._sample_levels
        return [
            self.config.budget.apply(image, lay(change, image.shape[0], image.shape[1], self.config.seed, sample_id))
            for image, change, sample_id in zip(images, levels(images, labels, sample_ids), sample_ids, strict=True)
        ]

    def _sample_levels(
        self, images: Sequence[np.ndarray], labels: np.ndarray, sample_ids: Sequence[str]
    ) -> list[np.ndarray]:
        """Returns what is added to each image, or to its patch, int16 [h,w,3]; one size at a time."""
        if not images:
            return []
        deltas = self.perturb(self._as_seen(images), torch.from_numpy(np.asarray(labels, np.int64)), sample_ids)
        levels: list[np.ndarray] = [np.empty(0)] * len(images)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for row, image in enumerate(images):
            by_size.setdefault(image.shape[:2], []).append(row)
        for (height, width), rows in by_size.items():
            size = patch_size(self.config.patch_share, height, width)
            # Channels last is what images are, and enlarging is nearly twice as fast so; the bits are the same.
            channels_last = deltas[rows].contiguous(memory_format=torch.channels_last)
            rounded = self.config.budget.round(spread(channels_last, *size))
            for row, change in zip(rows, rounded.permute(0, 2, 3, 1).contiguous().numpy(), strict=True):
                levels[row] = change
        return levels

    def _class_levels(
        self, images: Sequence[np.ndarray], labels: np.ndarray, sample_ids: Sequence[str]
    ) -> Iterator[np.ndarray]:
        """Yields the same, made once for each class and size and kept."""
        for image, label, sample_id in zip(images, np.asarray(labels).tolist(), sample_ids, strict=True):
            key = (label, *image.shape[:2])
            if key not in self._levels:
                self._keep(key, self._sample_levels([image], np.array([label]), [sample_id])[0])
            yield self._levels[key]

    def _keep(self, key: tuple[int, ...], levels: np.ndarray) -> None:
        while self._levels and self._levels_bytes + levels.nbytes > KEPT_BYTES:
            oldest = next(iter(self._levels))
            self._levels_bytes -= self._levels.pop(oldest).nbytes
        self._levels[key] = levels
        self._levels_bytes += levels.nbytes

    def _as_seen(self, images: Sequence[np.ndarray]) -> Tensor | None:
        if not self.needs_images:
            return None
        return self.compute.images(
            torch.from_numpy(np.stack([resize(image, self.config.image_size) for image in images]))
        )


class ClassNoise(Noise):
    """One delta a class, looked up."""

    def __init__(self, config: NoiseConfig, compute: Compute, deltas: DeltaRows) -> None:
        super().__init__(config, compute)
        self.deltas = deltas

    def expect(self, labels: np.ndarray) -> None:
        if isinstance(self.deltas, DeltaFile):
            self.deltas.expect(labels)

    def delta(self, images: Tensor | None, labels: Tensor, sample_ids: Sequence[str]) -> Tensor:
        return self.deltas[labels.cpu()]


class SampleNoise(Noise):
    """One delta a sample, looked up; there is none for a sample that it was not crafted on."""

    def __init__(self, config: NoiseConfig, compute: Compute, tensors: dict[str, Tensor]) -> None:
        super().__init__(config, compute)
        self.table = SampleTable.restore(config.budget, tensors)

    def delta(self, images: Tensor | None, labels: Tensor, sample_ids: Sequence[str]) -> Tensor:
        return self.table.get(sample_ids)


class DrawnNoise(Noise):
    """Each delta made from its class's name and its sample_id by ``draw``: float32 [3,s,s]. Class-wise that is None."""

    def __init__(self, config: NoiseConfig, compute: Compute, draw: Callable[[str, str | None], Tensor]) -> None:
        super().__init__(config, compute)
        self.draw = draw

    def delta(self, images: Tensor | None, labels: Tensor, sample_ids: Sequence[str]) -> Tensor:
        names = self.config.class_names
        if self.config.granularity == "class-wise":
            classes, members = labels.cpu().unique(return_inverse=True)
            return torch.stack([self.draw(names[label], None) for label in classes.tolist()])[members]
        samples = zip(labels.tolist(), sample_ids, strict=True)
        return torch.stack([self.draw(names[label], sample_id) for label, sample_id in samples])


class SurrogateNoise(Noise):
    """Each image's delta as ``move`` makes it from zero on the trained surrogate: T steps of PGD.

    In chunks of one fixed size, the last one padded: kernels choose their order of summation by the batch's size, and a
    sign turns the smallest difference into a whole step. So an image gets the same bits in whatever batch it comes.
    """

    needs_images = True

    def __init__(self, surrogate: Surrogate, tensors: dict[str, Tensor], move: Move) -> None:
        super().__init__(surrogate.config, surrogate.compute)
        surrogate.load(tensors)
        self.move = move

    def delta(self, images: Tensor | None, labels: Tensor, sample_ids: Sequence[str]) -> Tensor:
        assert images is not None
        labels = labels.to(images.device)
        side = self.config.canvas
        parts = []
        for start in range(0, len(labels), CHUNK):
            seen, classes = images[start : start + CHUNK], labels[start : start + CHUNK]
            count = len(classes)
            if count < CHUNK:
                seen = torch.cat([seen, seen.new_zeros(CHUNK - count, *seen.shape[1:])])
                classes = torch.cat([classes, classes.new_zeros(CHUNK - count)])
            zero = torch.zeros(CHUNK, 3, side, side, device=images.device)
            parts.append(self.move(seen, zero, classes, self.config.seed)[0][:count])
        return torch.cat(parts) if parts else torch.zeros(0, 3, side, side)
