"""The paper's four networks, as torchvision builds them; small images get a first layer that keeps their size."""

from __future__ import annotations

from typing import Any

from torch import nn


def resnet18(num_classes: int, small: bool) -> nn.Module:
    """Returns ResNet-18 (He et al., 2016)."""
    return _without_early_pooling(_torchvision().resnet18(num_classes=num_classes), small)


def resnet50(num_classes: int, small: bool) -> nn.Module:
    """Returns ResNet-50 (He et al., 2016)."""
    return _without_early_pooling(_torchvision().resnet50(num_classes=num_classes), small)


def vgg11(num_classes: int, small: bool) -> nn.Module:
    """Returns VGG-11 with batch normalisation (Simonyan and Zisserman, 2015).

    For small images one linear layer replaces ImageNet's three, which have 124 M weights.
    """
    model = _torchvision().vgg11_bn(num_classes=num_classes)
    if small:
        model.features[-1] = nn.AdaptiveMaxPool2d(1)  # the same as the fifth pooling at 32x32, and works at 28x28
        model.avgpool = nn.Identity()
        model.classifier = nn.Linear(512, num_classes)
    return model


def densenet121(num_classes: int, small: bool) -> nn.Module:
    """Returns DenseNet-121 (Huang et al., 2017)."""
    model = _torchvision().densenet121(num_classes=num_classes)
    if small:
        model.features.conv0 = _first_layer()
        model.features.pool0 = nn.Identity()
    return model


def _torchvision() -> Any:
    import torchvision.models  # imported only by processes that build one of these: 160 MiB and a second

    return torchvision.models


def _first_layer() -> nn.Conv2d:
    return nn.Conv2d(3, 64, 3, padding=1, bias=False)


def _without_early_pooling(resnet: Any, small: bool) -> nn.Module:
    if small:
        resnet.conv1 = _first_layer()
        resnet.maxpool = nn.Identity()
    return resnet
