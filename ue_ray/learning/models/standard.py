"""The paper's four networks, torchvision's, with the usual stem where images are small."""

from __future__ import annotations

from typing import Any

from torch import nn


def resnet18(num_classes: int, small: bool) -> nn.Module:
    return _small_resnet_stem(_torchvision().resnet18(num_classes=num_classes), small)


def resnet50(num_classes: int, small: bool) -> nn.Module:
    return _small_resnet_stem(_torchvision().resnet50(num_classes=num_classes), small)


def vgg11(num_classes: int, small: bool) -> nn.Module:
    """With batch normalisation; small images get one linear layer in place of ImageNet's three (124 M weights)."""
    model = _torchvision().vgg11_bn(num_classes=num_classes)
    if small:
        model.features[-1] = nn.AdaptiveMaxPool2d(1)  # as the fifth pooling at 32x32, and 28x28 fits too
        model.avgpool = nn.Identity()
        model.classifier = nn.Linear(512, num_classes)
    return model


def densenet121(num_classes: int, small: bool) -> nn.Module:
    model = _torchvision().densenet121(num_classes=num_classes)
    if small:
        model.features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.features.pool0 = nn.Identity()
    return model


def _torchvision() -> Any:
    """Imported by who builds one of these: it costs every process 160 MiB and a second."""
    import torchvision.models

    return torchvision.models


def _small_resnet_stem(model: Any, small: bool) -> nn.Module:
    if small:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model
