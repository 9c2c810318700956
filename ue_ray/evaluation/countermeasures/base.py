"""What a countermeasure is: something that a data taker tries in order to undo the protection."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn


class Countermeasure(ABC):
    """A subclass overrides ``purify`` or ``purify_all`` (once, before training), ``augment`` (every batch) or
    ``held_out``.

    It sees images and labels. It does not know whether the images are protected, nor by which method.
    """

    forms: ClassVar[str]
    """How its name is written, with its parameters, for the error message that lists the choices."""

    on_test: bool = False
    """Whether test images are purified too: only where a victim would otherwise be tested on another kind of image."""

    held_out: float = 0.0
    """The share of the training images, in [0, 1], that is kept back to choose the epoch whose network is taken."""

    progress: float = 0.0
    """How much of the training is done, in [0, 1): set before each epoch, for what changes on the way."""

    def __init__(self, parameter: str) -> None:
        """``parameter``: the text behind its name and a dash (``"50"`` of ``jpeg-50``), empty where there is none.

        Raises ValueError for a parameter that is not in ``forms``.
        """
        if parameter:
            raise ValueError(parameter)

    def purify(self, images: np.ndarray) -> np.ndarray:
        """Changes the images once, before training: uint8 [n,S,S,3] -> the same shape and type.

        Each image is changed by itself, and in the same way every time.
        """
        return images

    def purify_all(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Changes all training images once, before training: uint8 [n,S,S,3] and labels int64 [n] -> the same images.

        Overridden, instead of ``purify``, by what must see them together. In the same way every time.
        """
        return self.purify(images)

    def purify_test(self, images: np.ndarray) -> np.ndarray:
        """Changes test images, as ``purify`` does: only with ``on_test``."""
        return self.purify(images) if self.on_test else images

    @property
    def purifies(self) -> bool:
        """Whether it overrides ``purify`` or ``purify_all``."""
        own = type(self)
        return own.purify is not Countermeasure.purify or own.purify_all is not Countermeasure.purify_all

    @property
    def augments(self) -> bool:
        """Whether it overrides ``augment``."""
        return type(self).augment is not Countermeasure.augment

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Changes a batch, after the usual augmentation; returns (images, targets) of the same shapes.

        ``images``: float32 [N,3,S,S] in [0, 1]; ``targets``: the probabilities of the labels, float32 [N,K]; both on
        the device. ``network``: the victim in training. ``generator``, on the CPU, is the only source of chance.
        """
        return images, targets


def whole(parameter: str, least: int, most: int) -> int:
    """Returns the whole number that ``parameter`` says. Raises ValueError if it is none of ``least`` to ``most``."""
    if not re.fullmatch("[1-9][0-9]*", parameter) or not least <= int(parameter) <= most:
        raise ValueError(parameter)
    return int(parameter)


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """Returns a generator of ``device`` whose seed is drawn from ``generator``, the CPU's.

    For chance as large as the images: drawn on a CPU, it would have to be copied to a GPU. The CPU and a GPU draw other
    numbers from the same seed.
    """
    seed = int(torch.randint(1 << 62, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)


def map_images(change: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """Returns ``images``, uint8 [n,S,S,3], each changed by ``change``, which keeps its shape."""
    changed = np.empty_like(images)
    for row, image in enumerate(images):
        changed[row] = change(image)
    return changed


def box_mask(side: int, length: Tensor, generator: torch.Generator) -> Tensor:
    """Returns a square for each image, around a random pixel and cut at the edges: bool [N,1,side,side].

    ``length``: the squares' sides in pixels, int64 [N].
    """
    centres = torch.randint(0, side, (2, len(length)), generator=generator)
    first = (centres - length // 2).view(2, -1, 1)
    place = torch.arange(side)
    rows, columns = (place >= first) & (place < first + length.view(1, -1, 1))
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
