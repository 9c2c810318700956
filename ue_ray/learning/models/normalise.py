"""Pixels to network units, inside the network."""

from __future__ import annotations

from torch import Tensor, nn


class Normalised(nn.Module):
    """[0, 1] pixels -> [-2, 2] -> the network: one fixed scale for every data set, no statistics to keep."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images * 4 - 2)
