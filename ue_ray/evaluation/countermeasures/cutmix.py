"""CutMix: fills a box of each image from another image, and blends the labels by area (Yun et al., 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ue_ray.evaluation.countermeasures.base import Countermeasure, box_mask


class Cutmix(Countermeasure):
    """``cutmix``: one share of the area is drawn for each batch, from Beta(1, 1); the edges may cut the box."""

    forms = "cutmix"

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        side = images.shape[-1]
        length = (side * torch.rand((), generator=generator).sqrt()).round().to(torch.int64)
        other = torch.randperm(len(images), generator=generator).to(images.device, non_blocking=True)
        mask = box_mask(side, length.expand(len(images)), generator).to(images.device, non_blocking=True)
        kept = 1 - mask.to(targets).mean((2, 3))
        return torch.where(mask, images[other], images), torch.lerp(targets[other], targets, kept)
