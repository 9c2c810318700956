"""Images before and after protection, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GalleryItem:
    """One image before and after protection: uint8 ``[H, W, 3]`` arrays of one shape."""

    sample_id: str
    label: str
    clean: NDArray[np.uint8]
    protected: NDArray[np.uint8]

    @property
    def delta(self) -> NDArray[np.int16]:
        """In 8-bit levels."""
        return self.protected.astype(np.int16) - self.clean

    @property
    def largest_change(self) -> float:
        """In [0, 1] units."""
        return float(np.abs(self.delta).max()) / 255
