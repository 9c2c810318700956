"""Pictures that a page holds itself, as PNG: the gallery of images before and after protection."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import isinf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ue_ray.evaluation.gallery import GalleryItem
from ue_ray.evaluation.measures import levels
from ue_ray.images.quality import WINDOW, psnr, ssim

SMALL = 128  # up to here a picture is enlarged without smoothing
CROP = 256  # a larger gallery image shows its middle at full resolution: scaled down, delta would blur away


@dataclass(frozen=True)
class Picture:
    """``source``: a data URI. ``small``: enlarged without smoothing."""

    source: str
    description: str
    width: int
    height: int
    small: bool


def picture(pixels: NDArray[np.uint8], description: str) -> Picture:
    """Encodes ``pixels`` [H, W, 3] losslessly."""
    height, width = pixels.shape[:2]
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    source = f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"
    return Picture(source, description, width, height, max(height, width) <= SMALL)


@dataclass(frozen=True)
class GalleryRow:
    label: str
    sample_id: str
    change: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Gallery:
    """``columns``: what the pictures of a row show; ``bound``: the change that is black or white in the last one."""

    columns: Sequence[str]
    bound: str
    rows: Sequence[GalleryRow]
    crop: int = CROP


def gallery(items: Sequence[GalleryItem], protected: Mapping[str, Any]) -> Gallery | None:
    """Draws each item and its delta, magnified so that epsilon fills the range; None where there are no items.

    ``protected``: the protected set, as in results.json. Without an epsilon the largest change fills the range.
    """
    if not items:
        return None
    bound = protected.get("epsilon") if protected.get("norm") == "linf" else None
    bound = bound or max(item.largest_change for item in items) or 1 / 255
    columns = ("clean", "protected", f"delta × {0.5 / bound:.3g}")
    rows = []
    for item in items:
        magnified = np.round(255 * np.clip(0.5 + 0.5 * item.delta / (255 * bound), 0, 1)).astype(np.uint8)
        shown = zip(columns, (item.clean, item.protected, magnified), strict=True)
        pictures = [picture(_middle(pixels), f"{item.label}, {column}") for column, pixels in shown]
        rows.append(GalleryRow(item.label, item.sample_id, _change(item), pictures))
    return Gallery(columns, levels(bound), rows)


def _middle(pixels: NDArray[Any]) -> NDArray[Any]:
    top, left = (max(0, (side - CROP) // 2) for side in pixels.shape[:2])
    return pixels[top : top + CROP, left : left + CROP]


def _change(item: GalleryItem) -> str:
    """PSNR, the largest change and, of images that are large enough for it, SSIM."""
    ratio = psnr(item.clean, item.protected)
    words = ["PSNR ∞" if isinf(ratio) else f"PSNR {ratio:.1f} dB"]
    if min(item.clean.shape[:2]) >= WINDOW:
        words.append(f"SSIM {ssim(item.clean, item.protected):.3f}")
    return " · ".join([*words, f"largest change {levels(item.largest_change)}"])
