"""Plasma: random clouds, drawn from coarse to fine (Fournier, Fussell, Carpenter, 1982)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def plasma(side: int, roughness: Tensor, draw: Callable[[list[int]], Tensor]) -> Tensor:
    """Returns a cloud for each roughness: float32 [N,side,side] in [0, 1], of mean 0.5.

    Diamond-square, as Kornia has it, with which UEraser was written. Each round halves the distance of the points. The
    first takes means of the corners; in the k-th after it a new point is the mean of its neighbours with the weight
    ``1 - roughness ** k``, and a draw with the rest.

    ``roughness``: float32 [N] in [0, 1]; ``draw(shape)`` gives draws in [0, 1] on the device of ``roughness``.
    """
    cloud = draw([len(roughness), 2, 2])
    weights = torch.zeros_like(roughness)
    rounds = 0
    while cloud.shape[-1] < side:
        cloud = _finer(cloud, weights.view(-1, 1, 1), draw)
        rounds += 1
        weights = roughness**rounds
    return cloud[:, :side, :side]


def _finer(cloud: Tensor, weight: Tensor, draw: Callable[[list[int]], Tensor]) -> Tensor:
    size = 2 * cloud.shape[-1] - 1
    finer = cloud.new_zeros(len(cloud), size, size)
    drawn = draw([len(cloud), size, size]) * weight
    finer[:, ::2, ::2] = cloud
    corners = cloud[:, :-1, :-1] + cloud[:, :-1, 1:] + cloud[:, 1:, :-1] + cloud[:, 1:, 1:]
    finer[:, 1::2, 1::2] = (1 - weight) * corners / 4 + drawn[:, 1::2, 1::2]
    around = finer.new_zeros(len(cloud), size + 2, size + 2)  # a point at the edge has three neighbours
    around[:, 1:-1, 1:-1] = finer
    neighbours = around[:, :-2, 1:-1] + around[:, 2:, 1:-1] + around[:, 1:-1, :-2] + around[:, 1:-1, 2:]
    place = torch.arange(size, device=cloud.device)
    edge = (place == 0) | (place == size - 1)
    count = torch.where(edge.view(-1, 1) | edge, 3, 4)
    between = (place.view(-1, 1) + place) % 2 == 1
    return torch.where(between, (1 - weight) * neighbours / count + drawn, finer)
