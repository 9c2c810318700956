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
