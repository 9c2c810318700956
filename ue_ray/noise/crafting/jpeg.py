"""What JPEG does to an image, as a differentiable function: what it rounds, gradients pass straight through."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from ue_ray.noise.pgd import straight_through

BLOCK = 8

# ITU-T T.81, tables K.1 and K.2: quality 50. libjpeg, and with it nearly every encoder, scales them.
LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32,
)  # fmt: skip

# JFIF: Y, Cb, Cr of R, G, B.
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def jpeg_round_trip(images: Tensor, quality: int, halve_chroma: bool) -> Tensor:
    """``images`` float32 [N,3,H,W] in [0, 1], encoded and decoded: the same shape, in [0, 1].

    ``quality`` 1-100 as libjpeg counts it; ``halve_chroma`` is 4:2:0, else 4:4:4. Within 1/255 of libjpeg's own round
    trip on average (0.1-0.6 levels on 250x250 photos); images of a few pixels, whose edges it treats otherwise, in 2.
    """
    height, width = images.shape[-2:]
    unit = 2 * BLOCK if halve_chroma else BLOCK
    padded = functional.pad(images, (0, -width % unit, 0, -height % unit), mode="replicate")
    planes = _rounded(_mix(padded * 255, TO_YCC))
    luma, chroma = planes[:, :1] - 128, planes[:, 1:]
    luma = _quantised(luma, LUMINANCE, quality) + 128
    if halve_chroma:
        chroma = _quantised(functional.avg_pool2d(chroma, 2), CHROMINANCE, quality)
        chroma = functional.interpolate(chroma, scale_factor=2.0, mode="bilinear", align_corners=False)
    else:
        chroma = _quantised(chroma, CHROMINANCE, quality)
    decoded = _rounded(_mix(_rounded(torch.cat([luma, chroma], 1)), TO_RGB))[..., :height, :width] / 255
    return straight_through(decoded, decoded.clamp(0, 1))


def _mix(planes: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """Each plane a sum of three, in float32. A GPU's convolution may take TF32, by which colours can move a level."""
    one, two, three = planes.unbind(1)
    return torch.stack([a * one + b * two + c * three for a, b, c in matrix], 1)


def _rounded(values: Tensor) -> Tensor:
    """Rounded forwards; backwards as if it were not."""
    return straight_through(values, values.round())


# Kept on the device: to copy them there at each step, the host would wait for the device.
@cache
def _table(base: tuple[int, ...], quality: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return torch.tensor([min(255, max(1, (value * scale + 50) // 100)) for value in base]).to(device, dtype)


def _quantised(planes: Tensor, base: tuple[int, ...], quality: int) -> Tensor:
    """Each 8x8 block of ``planes`` [N,C,H,W] through the cosine transform, rounded to multiples of its table [64]."""
    count, channels, height, width = planes.shape
    grid = (count, channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    blocks = planes.reshape(grid).transpose(3, 4).reshape(-1, BLOCK * BLOCK)
    transform, table = _cosines(planes.dtype, planes.device), _table(base, quality, planes.dtype, planes.device)
    coefficients = blocks @ transform.T / table
    blocks = (_rounded(coefficients) * table) @ transform
    return blocks.reshape(count, channels, grid[2], grid[4], BLOCK, BLOCK).transpose(3, 4).reshape(planes.shape)


@cache
def _cosines(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The orthonormal two-dimensional DCT-II of a flattened block: [64,64], computed in float64."""
    place = torch.arange(BLOCK, dtype=torch.float64)
    rows = torch.cos(math.pi / BLOCK * place[:, None] * (place + 0.5)) * math.sqrt(2 / BLOCK)
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows).to(device, dtype)
