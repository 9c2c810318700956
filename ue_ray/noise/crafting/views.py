"""What may happen to a perturbed image before the surrogate sees it: noise crafted through views survives them.

A view maps float32 [N,3,H,W] in [0, 1] to the same shape, differentiably; one random choice serves the whole batch, so
that it does not depend on how the batch is split among workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional

from ue_ray.noise.crafting.jpeg import jpeg_round_trip

View = Callable[[Tensor, np.random.Generator], Tensor]


def grayscale(images: Tensor, rng: np.random.Generator) -> Tensor:
    """ITU-R 601 luma in all three channels."""
    red, green, blue = images.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma.unsqueeze(1).expand_as(images)


def resize(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Down to 50-100 % of the side and back, bilinear."""
    height, width = images.shape[-2:]
    share = rng.uniform(0.5, 1.0)
    smaller = (max(1, round(height * share)), max(1, round(width * share)))
    shrunk = functional.interpolate(images, smaller, mode="bilinear", antialias=True, align_corners=False)
    return functional.interpolate(shrunk, (height, width), mode="bilinear", align_corners=False)


def flip(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirrored left to right."""
    return images.flip(-1)


def crop(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted by up to 4 pixels a 32 pixels of side, black moving in: what a padded random crop does."""
    reach = max(1, round(images.shape[-2] / 8))
    down, right = rng.integers(-reach, reach + 1, 2).tolist()
    return functional.pad(images, (right, -right, down, -down))


def jpeg(images: Tensor, rng: np.random.Generator) -> Tensor:
    """JPEG at a quality of 50-95, its colours at half the resolution (4:2:0) half of the time."""
    return jpeg_round_trip(images, int(rng.integers(50, 96)), bool(rng.random() < 0.5))


VIEWS: dict[str, View] = {"crop": crop, "flip": flip, "grayscale": grayscale, "jpeg": jpeg, "resize": resize}


def random_view(names: Sequence[str], images: Tensor, seed: int) -> Tensor:
    """One of ``names``, or the image as it is, each as likely; the identity where ``names`` is empty."""
    if not names:
        return images
    rng = np.random.default_rng(seed)
    choice = int(rng.integers(len(names) + 1))
    return images if choice == len(names) else VIEWS[names[choice]](images, rng)
