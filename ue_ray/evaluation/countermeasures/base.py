"""What every countermeasure is: something a data taker tries, in the hope that the protection does not outlive it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn


class Countermeasure(ABC):
    """Made by its parameter, the text behind its name and a dash (``"50"`` of ``jpeg-50``), empty where there is none.

    It overrides ``purify``, ``augment`` or ``held_out``. It sees images and labels, never which method protected them
    nor whether anything did.
    """

    forms: ClassVar[str]
    """How its name is written, for the error that lists the choices."""

    on_test: ClassVar[bool] = False
    """Whether test images are purified as well: only where a victim would otherwise see another kind of image."""

    held_out: ClassVar[float] = 0.0
    """The share of the training images that is kept back to choose the epoch by, whose network is then taken."""

    def __init__(self, parameter: str) -> None:
        """Raises ValueError when ``parameter`` is not one of ``forms``."""
        if parameter:
            raise ValueError(parameter)

    def purify(self, images: np.ndarray) -> np.ndarray:
        """Once, before training: uint8 [n,S,S,3] -> the same shape and type; each image by itself, always alike."""
        return images

    @property
    def purifies(self) -> bool:
        return type(self).purify is not Countermeasure.purify

    @property
    def augments(self) -> bool:
        return type(self).augment is not Countermeasure.augment

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Every batch anew, after the usual augmentation: float [N,3,S,S] in [0, 1] and the labels' probabilities,
        float [N,K], on the device -> the same. ``network`` is the victim in training; chance comes from ``generator``
        (on the CPU) alone."""
        return images, targets


def one_by_one(change: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """``change`` for each of ``images``, holding no second copy of them all."""
    changed = np.empty_like(images)
    for row, image in enumerate(images):
        changed[row] = change(image)
    return changed


def box_mask(side: int, length: Tensor, generator: torch.Generator) -> Tensor:
    """bool [N,1,side,side]: a square of each ``length`` (int64 [N]) around a random pixel, cut at the edges."""
    centres = torch.randint(0, side, (2, len(length)), generator=generator)
    first = (centres - length // 2).view(2, -1, 1)
    place = torch.arange(side)
    rows, columns = (place >= first) & (place < first + length.view(1, -1, 1))
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
