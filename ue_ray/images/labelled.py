"""Decoded images in memory, with their labels: what noise is crafted on, and what victims train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


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

    def take(self, rows: np.ndarray) -> LabelledImages:
        """Returns the images at ``rows``: indices int64 [m], or bool [n]."""
        ids = np.asarray(self.sample_ids, object)[rows].tolist()
        return replace(self, images=self.images[rows], labels=self.labels[rows], sample_ids=ids)
