"""Changes of a batch of images, each image with a strength of its own: what augmentations are put together from.

Each takes images, float32 [N,3,S,S] in [0, 1], and strengths, float32 [N,1,1,1] in [0, 1], on the same device, and
returns the changed images; values may leave [0, 1]. The factors and angles are those of AutoAugment (Cubuk et al.,
2019), the operations Pillow's.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def contrast(images: Tensor, strength: Tensor) -> Tensor:
    """Away from the mean luma by a factor of 0.1 to 1.9."""
    luma = _constant([[[[0.299]], [[0.587]], [[0.114]]]], images)
    gray = (images * luma).sum(1, keepdim=True)
    return torch.lerp(gray.mean((2, 3), keepdim=True).expand_as(images), images, _factor(strength))


def brightness(images: Tensor, strength: Tensor) -> Tensor:
    """Times a factor of 0.1 to 1.9."""
    return images * _factor(strength)


def sharpness(images: Tensor, strength: Tensor) -> Tensor:
    """Away from the smoothed image by a factor of 0.1 to 1.9."""
    kernel = _constant([[1, 1, 1], [1, 5, 1], [1, 1, 1]], images).div(13).expand(3, 1, 3, 3)  # Pillow's SMOOTH
    smooth = functional.conv2d(functional.pad(images, (1, 1, 1, 1), "replicate"), kernel, groups=3)
    return torch.lerp(smooth, images, _factor(strength))


def rotation(images: Tensor, strength: Tensor) -> Tensor:
    """By up to 30 degrees, either way."""
    angle = _signed(strength) * math.radians(30)
    return _moved(images, [[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0]])


def shear_rows(images: Tensor, strength: Tensor) -> Tensor:
    """Each row sideways by up to 0.3 of its distance from the middle, either way."""
    return _moved(images, [[1, 0.3 * _signed(strength), 0], [0, 1, 0]])


def shear_columns(images: Tensor, strength: Tensor) -> Tensor:
    """Each column up or down by up to 0.3 of its distance from the middle, either way."""
    return _moved(images, [[1, 0, 0], [0.3 * _signed(strength), 1, 0]])


def translate_sideways(images: Tensor, strength: Tensor) -> Tensor:
    """By up to half the side, either way."""
    return _moved(images, [[1, 0, _signed(strength)], [0, 1, 0]])


def translate_upright(images: Tensor, strength: Tensor) -> Tensor:
    """Up or down by up to half the side."""
    return _moved(images, [[1, 0, 0], [0, 1, _signed(strength)]])


def posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keeps the highest one to four bits of each value."""
    size = 2 ** (7 - (4 * strength).floor().clamp_max(3))  # of a level
    return (images * 255).round().div(size).floor() * size / 255


def solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Inverts what is at least as bright as the strength."""
    return torch.where(images >= strength, 1 - images, images)


def autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    """Spreads each channel over the whole range; a channel of one value stays as it is. There is no strength."""
    least, most = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(most > least, (images - least) / (most - least), images)


def equalize(images: Tensor, strength: Tensor) -> Tensor:
    """Gives each channel about the same number of pixels at each level, as Pillow does. There is no strength."""
    levels = (images * 255).round().long().flatten(2)
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    last = counts.gather(2, levels.amax(2, keepdim=True))  # as many as the highest level that occurs has
    step = (counts.sum(2, keepdim=True) - last) // 255
    before = counts.cumsum(2) - counts
    table = ((before + step // 2) // step.clamp_min(1)).clamp_max(255)
    return torch.where(step > 0, table.gather(2, levels), levels).view_as(images) / 255


def _constant(values: list[Any], images: Tensor) -> Tensor:
    """Puts ``values`` where the images are; unlike ``new_tensor``, without waiting for what a GPU does."""
    return torch.tensor(values, dtype=images.dtype).to(images.device, non_blocking=True)


def _factor(strength: Tensor) -> Tensor:
    return 0.1 + 1.8 * strength


def _signed(strength: Tensor) -> Tensor:
    return 2 * strength.flatten() - 1


def _moved(images: Tensor, places: list[list[Tensor | float]]) -> Tensor:
    """Takes each pixel from the place that an affine map says; black where that is outside.

    ``places``: the map's rows for x and y, in halves of the side from the middle; each entry a number, or a number an
    image.
    """
    rows = [torch.stack([images.new_zeros(len(images)) + entry for entry in row], 1) for row in places]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
