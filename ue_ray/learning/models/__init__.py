"""Networks by name, for surrogates (they craft the noise) and for victims (a data taker trains them)."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ue_ray.errors import UserError, choose
from ue_ray.learning.models import standard
from ue_ray.learning.models.inception_resnet import InceptionResNet
from ue_ray.learning.models.linear import linear
from ue_ray.learning.models.normalise import Normalised
from ue_ray.learning.models.resnet9 import ResNet9

Builder = Callable[[int, bool], nn.Module]  # (number of classes, whether images are small) -> network

MODELS: dict[str, Builder] = {
    "resnet9": lambda num_classes, small: ResNet9(num_classes),
    "resnet9-wide": lambda num_classes, small: ResNet9(num_classes, 64),
    "resnet18": standard.resnet18,
    "resnet50": standard.resnet50,
    "vgg11": standard.vgg11,
    "densenet121": standard.densenet121,
    "inception-resnet": InceptionResNet,
    "inception-resnet-small": lambda num_classes, small: InceptionResNet(num_classes, small, 0.25, (2, 4, 2)),
    "linear": lambda num_classes, small: linear(num_classes),
}

SMALLEST_IMAGE = 12  # the smallest side, in pixels, that the deepest networks can take
SMALL_IMAGE = 96  # up to this side, in pixels, networks get a stem that does not shrink the images


def check_model(name: str) -> None:
    """Raises UserError, listing the choices, when there is no model of that name."""
    choose(name, MODELS, "model")


def build(name: str, num_classes: int, image_size: int) -> nn.Module:
    """Returns a new network: float32 [N,3,S,S] in [0, 1] -> logits float32 [N,num_classes]; S is ``image_size``.

    It normalises its input itself, so that epsilon means the same for every network. Its weights are drawn from torch's
    global generator. Raises UserError for an unknown name, and for images that are too small.

    Example:
        >>> import torch
        >>> build("resnet9", num_classes=10, image_size=32)(torch.rand(4, 3, 32, 32)).shape
        torch.Size([4, 10])
    """
    check_model(name)
    if image_size < SMALLEST_IMAGE:
        raise UserError(f"image-size is {image_size}: the networks need at least {SMALLEST_IMAGE}")
    return Normalised(MODELS[name](num_classes, image_size <= SMALL_IMAGE))
