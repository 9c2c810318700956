"""UEraser: strong random changes of light and colour, of several the one that is learnt least (Qin et al., 2023)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ue_ray.evaluation.countermeasures import operations
from ue_ray.evaluation.countermeasures.base import Countermeasure, generator_on
from ue_ray.evaluation.countermeasures.plasma import plasma
from ue_ray.learning.steps import frozen

DRAWS = 5
SEARCHED = 0.3  # of the training: 60 of 200 epochs in the original
TRIVIAL = (  # what TrivialAugment chooses from, with the ranges of Kornia's
    operations.autocontrast,
    operations.equalize,
    operations.rotation,
    operations.posterize,
    operations.solarize,
    operations.contrast,
    operations.brightness,
    operations.sharpness,
    operations.shear_rows,
    operations.shear_columns,
    operations.translate_sideways,
    operations.translate_upright,
)


class UEraser(Countermeasure):
    """``ueraser-max``: of five draws, each image takes the one of the largest loss. ``ueraser``: so in the first 30 %
    of the epochs, then one draw. ``ueraser-lite``: one draw.

    A draw, with the settings of the authors' code: plasma brightness, plasma contrast and a shuffle of the channels,
    each for a random half of the images, then TrivialAugment (Müller and Hutter, 2021). Two things differ. The loss is
    that of the network as it would be tested, so that its running statistics stand still. Each image draws its own
    operation of TrivialAugment, where Kornia draws one for the batch. The authors' JPEG, for some noises only, is left
    to the taker: ``ueraser-max+jpeg-10-after``.
    """

    forms = "ueraser, ueraser-lite, ueraser-max"

    def __init__(self, parameter: str) -> None:
        if parameter not in ("", "lite", "max"):
            raise ValueError(parameter)
        self.searched = {"": SEARCHED, "lite": 0.0, "max": 1.0}[parameter]

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        own = generator_on(images.device, generator)
        if self.progress >= self.searched:
            return erased(images, own), targets
        draws = torch.stack([erased(images, own) for _ in range(DRAWS)])
        with frozen(network), torch.no_grad():
            losses = [functional.cross_entropy(network(draw), targets, reduction="none") for draw in draws]
        hardest = torch.stack(losses).argmax(0)
        return draws[hardest, torch.arange(len(images), device=images.device)], targets


def erased(images: Tensor, generator: torch.Generator) -> Tensor:
    """Returns ``images``, float32 [N,3,S,S] in [0, 1], each changed by draws of its own.

    ``generator``: on their device.
    """

    def draw(shape: list[int]) -> Tensor:
        return torch.rand(shape, generator=generator, device=images.device)

    def some(changed: Tensor, unchanged: Tensor) -> Tensor:
        return torch.where(draw([len(images), 1, 1, 1]) < 0.5, changed.clamp(0, 1), unchanged)

    intensity = 0.5 + 0.5 * draw([len(images), 1, 1, 1])
    images = some(images + (2 * _clouds(images, draw) - 1) * intensity, images)
    images = some((images - 0.5) * 4 * _clouds(images, draw) + 0.5, images)
    channels = draw([len(images), 3]).argsort(1).view(-1, 3, 1, 1)
    images = some(images.gather(1, channels.expand_as(images)), images)
    strength = draw([len(images), 1, 1, 1])
    chosen = (draw([len(images)]) * len(TRIVIAL)).long()
    changed = images.clone()
    for number, operation in enumerate(TRIVIAL):
        rows = (chosen == number).nonzero().squeeze(1)
        if len(rows):
            changed[rows] = operation(images[rows], strength[rows]).clamp(0, 1)
    return changed


def _clouds(images: Tensor, draw: Callable[[list[int]], Tensor]) -> Tensor:
    """A cloud for each channel, as rough as the image's draw says: float32 like ``images``."""
    roughness = 0.3 + 0.4 * draw([len(images), 1]).expand(-1, 3).flatten()
    return plasma(images.shape[-1], roughness, draw).view_as(images)
