"""A box of each image is filled from another of its batch, and the labels blended by area (Yun et al., 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ue_ray.evaluation.countermeasures.base import Countermeasure, box_mask


class Cutmix(Countermeasure):
    """The box covers a share of the image drawn uniformly, before the edges cut it: Beta(1, 1), one share a batch."""

    forms = "cutmix"

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        side = images.shape[-1]
        length = (side * torch.rand((), generator=generator).sqrt()).round().to(torch.int64)
        other = torch.randperm(len(images), generator=generator).to(images.device)
        mask = box_mask(side, length.expand(len(images)), generator).to(images.device)
        kept = 1 - mask.to(targets).mean((2, 3))
        return torch.where(mask, images[other], images), torch.lerp(targets[other], targets, kept)
