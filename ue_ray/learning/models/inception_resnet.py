"""Inception-ResNet-v1 (Szegedy et al., 2016, Figures 10 to 14), the paper's network for faces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ue_ray.learning.models.convolution import Size, convolution


class Branches(nn.Module):
    """Concatenates the outputs of several branches along the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([branch(features) for branch in self.branches], dim=1)


class Scaled(nn.Module):
    """A residual block; its residual is multiplied by ``scale``, which keeps training stable (their Section 3.3)."""

    def __init__(self, channels: int, branches: Branches, channels_out: int, scale: float) -> None:
        super().__init__()
        self.residual = nn.Sequential(branches, nn.Conv2d(channels_out, channels, 1))
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.scale * self.residual(features))


class InceptionResNet(nn.Module):
    """The whole network; 21 M weights at ``width`` 1. Unlike the original, all its convolutions are padded.

    ``small``: without the pooling of the stem, for small images; ``width``: the share of the original's channels;
    ``blocks``: the number of residual blocks of each of the three kinds.
    """

    def __init__(self, num_classes: int, small: bool, width: float = 1.0, blocks: Sequence[int] = (5, 10, 5)) -> None:
        super().__init__()

        def c(channels: int) -> int:
            return max(8, round(channels * width))

        def conv(channels_in: int, channels_out: int, size: Size = 1, stride: int = 1) -> nn.Sequential:
            return convolution(c(channels_in), c(channels_out), size, stride)

        def block_a() -> Scaled:
            branches = Branches(
                conv(256, 32),
                nn.Sequential(conv(256, 32), conv(32, 32, 3)),
                nn.Sequential(conv(256, 32), conv(32, 32, 3), conv(32, 32, 3)),
            )
            return Scaled(c(256), branches, 3 * c(32), 0.17)

        def block_b() -> Scaled:
            narrow = nn.Sequential(conv(896, 128), conv(128, 128, (1, 7)), conv(128, 128, (7, 1)))
            return Scaled(c(896), Branches(conv(896, 128), narrow), 2 * c(128), 0.10)

        def block_c() -> Scaled:
            narrow = nn.Sequential(conv(1792, 192), conv(192, 192, (1, 3)), conv(192, 192, (3, 1)))
            return Scaled(c(1792), Branches(conv(1792, 192), narrow), 2 * c(192), 0.20)

        pool = nn.MaxPool2d(3, stride=2, padding=1)
        stem = [
            convolution(3, c(32), 3, stride=2), conv(32, 32, 3), conv(32, 64, 3), nn.Identity() if small else pool,
            conv(64, 80), conv(80, 192, 3), conv(192, 256, 3, stride=2),
        ]  # fmt: skip
        reduction_a = Branches(
            conv(256, 384, 3, stride=2),
            nn.Sequential(conv(256, 192), conv(192, 192, 3), conv(192, 256, 3, stride=2)),
            pool,
        )
        reduction_b = Branches(
            nn.Sequential(conv(896, 256), conv(256, 384, 3, stride=2)),
            nn.Sequential(conv(896, 256), conv(256, 256, 3, stride=2)),
            nn.Sequential(conv(896, 256), conv(256, 256, 3), conv(256, 256, 3, stride=2)),
            pool,
        )
        self.features = nn.Sequential(
            *stem,
            *(block_a() for _ in range(blocks[0])),
            reduction_a,
            *(block_b() for _ in range(blocks[1])),
            reduction_b,
            *(block_c() for _ in range(blocks[2])),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.classifier = nn.Linear(c(1792), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
