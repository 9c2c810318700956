"""AutoAugment (Cubuk et al., 2019) and RandAugment (Cubuk et al., 2020), as torchvision has them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ue_ray.evaluation.countermeasures.base import Countermeasure


class AutoAugment(Countermeasure):
    """``autoaugment``: the policy that was found for CIFAR-10; each image draws its own operations."""

    forms = "autoaugment"

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        transform = self._transform()
        levels = (images * 255).round().to(torch.uint8).cpu()
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
            changed = torch.stack([transform(image) for image in levels])
        return changed.to(images.device).to(images.dtype).div_(255), targets

    @staticmethod
    def _transform() -> Callable[[Tensor], Tensor]:
        from torchvision.transforms import AutoAugment, AutoAugmentPolicy  # imported only where it is used: it is slow

        return AutoAugment(AutoAugmentPolicy.CIFAR10)


class RandAugment(AutoAugment):
    """``randaugment``: two operations of strength 9 of 30, the defaults of torchvision."""

    forms = "randaugment"

    @staticmethod
    def _transform() -> Callable[[Tensor], Tensor]:
        from torchvision.transforms import RandAugment

        return RandAugment()
