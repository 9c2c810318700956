"""Delta may live on a square smaller (or larger) than the image: low frequencies survive JPEG and resizing."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def spread(delta: Tensor, height: int, width: int) -> Tensor:
    """``delta`` [N,3,s,s] on its canvas -> [N,3,height,width] on the image; the identity where the sizes agree.

    Bilinear weights are positive and add up to one, so an L-inf bound holds on the image where it holds on the canvas.
    """
    if delta.shape[-2:] == (height, width):
        return delta
    shrinks = height < delta.shape[-2] or width < delta.shape[-1]
    return functional.interpolate(delta, (height, width), mode="bilinear", align_corners=False, antialias=shrinks)
