"""Networks by name: surrogates (which craft the noise) and victims (which a data taker trains) alike."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ue_ray.errors import UserError, choose
from ue_ray.learning.models import standard
from ue_ray.learning.models.inception_resnet import InceptionResNet
from ue_ray.learning.models.normalise import Normalised
from ue_ray.learning.models.resnet9 import ResNet9

Builder = Callable[[int, bool], nn.Module]  # (number of classes, small images?) -> network of raw pixels

MODELS: dict[str, Builder] = {
    "resnet9": lambda num_classes, small: ResNet9(num_classes),
    "resnet18": standard.resnet18,
    "resnet50": standard.resnet50,
    "vgg11": standard.vgg11,
    "densenet121": standard.densenet121,
    "inception-resnet": InceptionResNet,
    "inception-resnet-small": lambda num_classes, small: InceptionResNet(num_classes, small, 0.25, (2, 4, 2)),
}

SMALLEST_IMAGE = 12  # below, the deepest networks have nothing left to convolve
SMALL_IMAGE = 96  # up to this side, networks get the stem made for 32x32 images (no early downsampling)


def check_model(name: str) -> None:
    """Raises UserError, listing the choices, when there is no model of that name."""
    choose(name, MODELS, "model")


def build(name: str, num_classes: int, image_size: int) -> nn.Module:
    """A freshly initialised network: float32 [N,3,S,S] in [0, 1] -> logits [N, num_classes].

    Normalisation of the input is the network's own first step, so noise is always crafted in pixel units. Raises
    UserError for an unknown name.
    """
    check_model(name)
    if image_size < SMALLEST_IMAGE:
        raise UserError(f"image-size is {image_size}: the networks need at least {SMALLEST_IMAGE}")
    return Normalised(MODELS[name](num_classes, image_size <= SMALL_IMAGE))
