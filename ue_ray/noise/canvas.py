"""Delta may live on a square smaller (or larger) than the image: low frequencies survive JPEG and resizing.

And it may cover a patch of the image only, at any place (Appendix F of the paper).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ue_ray.noise.crafting.batches import own_generator


def spread(delta: Tensor, height: int, width: int) -> Tensor:
    """``delta`` [N,3,s,s] on its canvas -> [N,3,height,width] on the image; the identity where the sizes agree.

    Bilinear weights are positive and add up to one, so an L-inf bound holds on the image where it holds on the canvas.
    """
    if delta.shape[-2:] == (height, width):
        return delta
    shrinks = height < delta.shape[-2] or width < delta.shape[-1]
    return functional.interpolate(delta, (height, width), mode="bilinear", align_corners=False, antialias=shrinks)


def patch_size(share: float, height: int, width: int) -> tuple[int, int]:
    """(height, width) of a patch that takes a ``share`` of each side, of at least a pixel."""
    return max(1, round(share * height)), max(1, round(share * width))


def spread_patch(delta: Tensor, height: int, width: int, share: float, seed: int) -> Tensor:
    """``delta`` on a patch of a ``share`` of each side, zero around it: [N,3,height,width]. One place for the batch."""
    tall, wide = patch_size(share, height, width)
    generator = torch.Generator().manual_seed(seed)
    top = int(torch.randint(height - tall + 1, (), generator=generator))
    left = int(torch.randint(width - wide + 1, (), generator=generator))
    return functional.pad(spread(delta, tall, wide), (left, width - wide - left, top, height - tall - top))


def lay(levels: np.ndarray, height: int, width: int, seed: int, sample_id: str) -> np.ndarray:
    """int16 [h,w,3] on an image: [height,width,3], zero around it, at a place that is the sample's own."""
    tall, wide = levels.shape[:2]
    if (tall, wide) == (height, width):
        return levels
    top, left = own_generator(seed, sample_id).integers([height - tall + 1, width - wide + 1])
    laid = np.zeros((height, width, 3), levels.dtype)
    laid[top : top + tall, left : left + wide] = levels
    return laid
