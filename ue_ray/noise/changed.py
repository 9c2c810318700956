"""A change that is no delta: what an image becomes hangs on the image itself, at its own size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ue_ray.noise.crafted import Noise


class ChangedNoise(Noise):
    """Changes each image by ``change``. For methods with a budget of their own: nothing is clipped or rounded here."""

    needs_images = True

    @abstractmethod
    def change(self, image: np.ndarray, label: int) -> np.ndarray:
        """Returns what ``image``, uint8 [H,W,3], becomes as one of its class; ``image`` is left as it is."""

    def protect(self, images: Sequence[np.ndarray], labels: np.ndarray, sample_ids: Sequence[str]) -> list[np.ndarray]:
        return [self.change(image, label) for image, label in zip(images, np.asarray(labels).tolist(), strict=True)]

    def delta(self, images: Tensor | None, labels: Tensor, sample_ids: Sequence[str]) -> Tensor:
        assert images is not None
        levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        changes = np.stack(self.protect(list(levels), labels.numpy(force=True), sample_ids)).astype(np.int16) - levels
        return torch.from_numpy(changes).permute(0, 3, 1, 2).float() / 255
