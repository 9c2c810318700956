"""Decoded images in memory, with their labels: what noise is crafted on, and what victims train on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from ue_ray.errors import UserError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """``images`` uint8 [n,S,S,3]; ``labels`` int64 [n], indices into ``class_names``; ``sample_ids`` one an image.

    ``rejected``: how many more the collection has that cannot be decoded.
    """

    images: np.ndarray
    labels: np.ndarray
    sample_ids: Sequence[str]
    class_names: Sequence[str] = ()
    rejected: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def largest_class(self) -> float:
        """The share of the largest class, in [0, 1]: the accuracy of a network that always names it."""
        return float(np.bincount(self.labels).max() / len(self))

    def digests(self) -> list[bytes]:
        """Returns a digest of each image's pixels, 32 bytes: equal for equal images."""
        return [sha256(image.tobytes()).digest() for image in self.images]

    def digest(self) -> str:
        """Returns a hex digest of all that a network learns from: pixels, labels and class names, and of the ids."""
        names = json.dumps([self.images.shape, list(self.class_names), list(self.sample_ids)]).encode()
        return sha256(b"".join([names, self.labels.astype("<i8").tobytes(), *self.digests()])).hexdigest()

    def in_classes(self, names: Sequence[str]) -> LabelledImages:
        """Returns the images with labels that are indices into ``names``: a class is found by its name."""
        index_of = {name: index for index, name in enumerate(names)}
        labels, rows = np.unique(self.labels, return_inverse=True)
        moved = np.array([index_of[self.class_names[label]] for label in labels], np.int64)
        return replace(self, labels=moved[rows], class_names=list(names))

    def take(self, rows: np.ndarray) -> LabelledImages:
        """Returns the images at ``rows``: indices int64 [m], or bool [n]."""
        ids = np.asarray(self.sample_ids, object)[rows].tolist()
        return replace(self, images=self.images[rows], labels=self.labels[rows], sample_ids=ids)


def joined(blocks: Iterable[LabelledImages], uri: str, count: int, side: int, names: Sequence[str]) -> LabelledImages:
    """Returns the images of ``blocks`` as one set: those decoded at ``side`` of the ``count`` at ``uri``, in classes of
    these ``names``. Those that are missing are its rejected ones.

    Beside the set, one block is held at a time. Raises UserError if there is no image.
    """
    images = np.empty((count, side, side, 3), np.uint8)  # takes memory as it is filled
    labels, sample_ids = list[int](), list[str]()
    for block in blocks:
        images[len(labels) : len(labels) + len(block)] = block.images
        labels += block.labels.tolist()
        sample_ids += block.sample_ids
    found = len(labels)
    if not found:
        raise UserError(f"{uri}: none of its {count} images can be decoded")
    return LabelledImages(images[:found], np.array(labels, np.int64), sample_ids, names, rejected=count - found)
