"""A small, fast residual network for CPUs: enough for MNIST and CIFAR in minutes."""

from __future__ import annotations

from torch import Tensor, nn

from ue_ray.learning.models.convolution import convolution


class Residual(nn.Module):
    """Adds to the features what two convolutions make of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(channels, channels, 3), convolution(channels, channels, 3))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class ResNet9(nn.Module):
    """Eight convolutions and a linear layer, after the ResNet-9 of DAWNBench; ``width`` 16 gives 0.19 M weights.

    It shrinks the features early, by stride: on a CPU most of the time would go into the layers at full resolution.
    """

    def __init__(self, num_classes: int, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            convolution(3, width, 3),
            convolution(width, 2 * width, 3, stride=2),
            Residual(2 * width),
            convolution(2 * width, 4 * width, 3, stride=2),
            Residual(4 * width),
            convolution(4 * width, 8 * width, 3, stride=2),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(8 * width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
