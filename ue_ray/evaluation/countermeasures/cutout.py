"""Cutout: blanks out a square of each image (DeVries and Taylor, 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ue_ray.evaluation.countermeasures.base import Countermeasure, box_mask


class Cutout(Countermeasure):
    """``cutout``: a black square of half the image's side, 16 of 32 pixels as in the paper (Appendix D)."""

    forms = "cutout"

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        side = images.shape[-1]
        mask = box_mask(side, torch.full((len(images),), side // 2), generator)
        return images.masked_fill(mask.to(images.device, non_blocking=True), 0.0), targets
