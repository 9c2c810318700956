"""Mixup: blends each image and its label with another of the batch (Zhang et al., 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ue_ray.evaluation.countermeasures.base import Countermeasure


class Mixup(Countermeasure):
    """``mixup``: one share is drawn for each batch, from Beta(1, 1), as for CIFAR in their paper."""

    forms = "mixup"

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        share = float(torch.rand((), generator=generator))
        other = torch.randperm(len(images), generator=generator).to(images.device, non_blocking=True)
        return torch.lerp(images[other], images, share), torch.lerp(targets[other], targets, share)
