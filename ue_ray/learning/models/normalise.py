"""Scales pixels inside the network, so that noise is crafted in pixel units."""

from __future__ import annotations

from torch import Tensor, nn


class Normalised(nn.Module):
    """Maps images in [0, 1] to [-2, 2] and calls ``network``: one fixed scale for every data set."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images * 4 - 2)
