"""The building block of this package's own networks."""

from __future__ import annotations

from torch import nn

Size = int | tuple[int, int]


def convolution(channels_in: int, channels_out: int, size: Size = 1, stride: int = 1) -> nn.Sequential:
    """Returns a convolution, batch normalisation and ReLU. ``size``: the kernel's, in pixels, height before width.

    Padded by half the kernel, so that at stride 1 the features keep their size: small images have none to spare.
    """
    height, width = (size, size) if isinstance(size, int) else size
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, (height, width), stride, (height // 2, width // 2), bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
