"""The operations that the paper takes from Fast AutoAugment (Lim et al., 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ue_ray.evaluation.countermeasures.cutout import Cutout


class FastAutoAugment(Cutout):
    """``fast-autoaugment``: contrast, brightness, sharpness and rotation, then cutout (Appendix D of the paper).

    Each of the four changes a random half of the images. Its strength is uniform in the range of AutoAugment: factors
    of 0.1 to 1.9, up to 30 degrees. The 25 sub-policies of Fast AutoAugment are not used: they were found for one data
    set, and a taker of other images has none.
    """

    forms = "fast-autoaugment"

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        changed = images
        for operation in (_contrast, _brightness, _sharpness, _rotation):
            chosen = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
            strength = torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device)
            changed = torch.where(chosen.to(images.device), operation(changed, strength).clamp(0, 1), changed)
        return super().augment(changed, targets, network, generator)


def _factor(strength: Tensor) -> Tensor:
    return 0.1 + 1.8 * strength


def _contrast(images: Tensor, strength: Tensor) -> Tensor:
    gray = (images * images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return torch.lerp(gray.mean((2, 3), keepdim=True).expand_as(images), images, _factor(strength))


def _brightness(images: Tensor, strength: Tensor) -> Tensor:
    return images * _factor(strength)


def _sharpness(images: Tensor, strength: Tensor) -> Tensor:
    kernel = images.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]).div(13).expand(3, 1, 3, 3)  # Pillow's SMOOTH
    smooth = functional.conv2d(functional.pad(images, (1, 1, 1, 1), "replicate"), kernel, groups=3)
    return torch.lerp(smooth, images, _factor(strength))


def _rotation(images: Tensor, strength: Tensor) -> Tensor:
    angle = (2 * strength.flatten() - 1) * math.radians(30)
    zero = torch.zeros_like(angle)
    turn = torch.stack([angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero], 1).view(-1, 2, 3)
    grid = functional.affine_grid(turn, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
