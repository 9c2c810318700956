"""Images before and after protection, side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ue_ray.images.quality import has_window, psnr, ssim

CROP = 256  # of a larger image the middle is kept, at full resolution: scaled down, delta would blur away


@dataclass(frozen=True)
class GalleryItem:
    """One image before and after protection.

    ``clean`` and ``protected``: its middle, uint8 [h,w,3], at most ``CROP`` pixels a side. ``psnr`` in dB, ``ssim``
    and ``max_abs_delta`` in [0, 1] units are of the whole image; ``ssim`` is None where that is too small.
    """

    key: str
    label: str
    clean: NDArray[np.uint8]
    protected: NDArray[np.uint8]
    psnr: float
    ssim: float | None
    max_abs_delta: float

    @classmethod
    def of(cls, key: str, label: str, clean: NDArray[np.uint8], protected: NDArray[np.uint8]) -> GalleryItem:
        """Makes an item of whole images, uint8 [H,W,3] of one shape."""
        similarity = ssim(clean, protected) if has_window(clean) else None
        largest = int(np.abs(clean.astype(np.int16) - protected).max()) / 255
        before, after = (_middle(pixels, CROP) for pixels in (clean, protected))
        return cls(key, label, before, after, psnr(clean, protected), similarity, largest)

    def cropped(self, side: int) -> GalleryItem:
        """The same image, less of it shown."""
        return replace(self, clean=_middle(self.clean, side), protected=_middle(self.protected, side))


def _middle(pixels: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    top, left = (max(0, (side - most) // 2) for side in pixels.shape[:2])
    return pixels[top : top + most, left : left + most].copy()
