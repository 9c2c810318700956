"""COIN: moves every pixel a little, by bilinear interpolation (Li et al., AAAI 2025)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ue_ray.evaluation.countermeasures.base import Countermeasure, generator_on

REACH = 2.0  # pixels; the severity 4 of their code


class Coin(Countermeasure):
    """``coin``: each pixel takes the colour at a place up to two pixels away in x and in y, uniformly drawn, the same
    for all channels. A place outside the image is looked for on its other side."""

    forms = "coin"

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        count, _, height, width = images.shape
        own = generator_on(images.device, generator)
        draws = torch.rand(2, count, height, width, generator=own, device=images.device)
        return displaced(images, (2 * draws - 1) * REACH), targets


def displaced(images: Tensor, offsets: Tensor) -> Tensor:
    """Returns for each pixel the colour at its place plus its offset, interpolated between the four pixels around it.

    ``images``: float [N,C,H,W]; ``offsets``: float [2,N,H,W], in pixels, rows first. A row below the first comes from
    above the last, as far from it; the same holds for columns (the mode ``wrap`` of SciPy's ``map_coordinates``).
    """
    count, _, height, width = images.shape
    rows = torch.arange(height, device=images.device).view(-1, 1) + offsets[0]
    columns = torch.arange(width, device=images.device) + offsets[1]
    rows, columns = _wrapped(rows, height - 1), _wrapped(columns, width - 1)
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top).unsqueeze(-1), (columns - left).unsqueeze(-1)
    top, left = top.long(), left.long()
    below, beside = (top + 1).clamp_max(height - 1), (left + 1).clamp_max(width - 1)
    which = torch.arange(count, device=images.device).view(-1, 1, 1)
    pixels = images.permute(0, 2, 3, 1)
    upper = torch.lerp(pixels[which, top, left], pixels[which, top, beside], right)
    lower = torch.lerp(pixels[which, below, left], pixels[which, below, beside], right)
    return torch.lerp(upper, lower, down).permute(0, 3, 1, 2)


def _wrapped(places: Tensor, last: int) -> Tensor:
    outside = (places < 0) | (places > last)
    return torch.where(outside, places.remainder(last), places)
