"""The operations that the paper takes from Fast AutoAugment (Lim et al., 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ue_ray.evaluation.countermeasures.cutout import Cutout
from ue_ray.evaluation.countermeasures.operations import brightness, contrast, rotation, sharpness


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
        for operation in (contrast, brightness, sharpness, rotation):
            chosen = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
            strength = torch.rand(len(images), 1, 1, 1, generator=generator)
            chosen, strength = (each.to(images.device, non_blocking=True) for each in (chosen, strength))
            changed = torch.where(chosen, operation(changed, strength).clamp(0, 1), changed)
        return super().augment(changed, targets, network, generator)
