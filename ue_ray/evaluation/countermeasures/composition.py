"""Several countermeasures together: a taker need not choose one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures.base import Countermeasure


class Composition(Countermeasure):
    """``grayscale+jpeg-10``: each after the one before, on what that one left.

    Test images go through those parts alone that change what kind of image a victim sees (``on_test``).
    """

    forms = "several with +, such as grayscale+jpeg-10"

    def __init__(self, names: Sequence[str], parts: Sequence[Countermeasure]) -> None:
        """Raises UserError for a part of every batch that stands before one that is done once."""
        self.parts = parts
        self.on_test = any(part.on_test for part in parts)
        self.held_out = max(part.held_out for part in parts)
        augmenting = [part.augments for part in parts]
        for at, part in enumerate(parts):
            if part.purifies and any(augmenting[:at]):
                first = names[augmenting.index(True)]
                raise UserError(
                    f"{'+'.join(names)}: {names[at]} is done once, before training, and {first} in every batch: "
                    f"write {names[at]} before {first}"
                )

    @property
    def purifies(self) -> bool:
        return any(part.purifies for part in self.parts)

    @property
    def augments(self) -> bool:
        return any(part.augments for part in self.parts)

    def purify(self, images: np.ndarray) -> np.ndarray:
        for part in self.parts:
            images = part.purify(images)
        return images

    def purify_all(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        for part in self.parts:
            images = part.purify_all(images, labels)
        return images

    def purify_test(self, images: np.ndarray) -> np.ndarray:
        for part in self.parts:
            images = part.purify_test(images)
        return images

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        for part in self.parts:
            part.progress = self.progress
            images, targets = part.augment(images, targets, network, generator)
        return images, targets
