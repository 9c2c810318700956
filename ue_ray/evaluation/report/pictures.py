"""Pictures that a page holds itself, as PNG: the gallery of images before and after protection."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
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


def picture(pixels: NDArray[np.uint8], description: str) -> dict[str, Any]:
    """``pixels`` [H, W, 3], losslessly."""
    (height, width), buffer = pixels.shape[:2], BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    source = f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"
    small = max(height, width) <= SMALL
    return {"source": source, "description": description, "width": width, "height": height, "small": small}


def gallery_rows(items: Sequence[GalleryItem], protected: Mapping[str, Any]) -> dict[str, Any] | None:
    """Each item with its delta, magnified so that epsilon fills the range; None where there are no items.

    ``protected``: the protected set, as in results.json. Without an epsilon the largest change fills the range.
    """
    if not items:
        return None
    deltas = [item.protected.astype(np.int16) - item.clean for item in items]
    largest = [int(np.abs(delta).max()) / 255 for delta in deltas]
    bound = (protected.get("epsilon") if protected.get("norm") == "linf" else None) or max(largest) or 1 / 255
    columns = ("clean", "protected", f"delta × {0.5 / bound:.3g}")
    rows = []
    for item, delta, change in zip(items, deltas, largest, strict=True):
        magnified = np.round(255 * np.clip(0.5 + 0.5 * delta / (255 * bound), 0, 1)).astype(np.uint8)
        shown = zip(columns, (item.clean, item.protected, magnified), strict=True)
        pictures = [picture(_middle(pixels), f"{item.label}, {column}") for column, pixels in shown]
        words = f"{_likeness(item)} · largest change {levels(change)}"
        rows.append({"item": item, "change": words, "pictures": pictures})
    return {"columns": columns, "rows": rows, "bound": levels(bound), "crop": CROP}


def _middle(pixels: NDArray[Any]) -> NDArray[Any]:
    top, left = (max(0, (side - CROP) // 2) for side in pixels.shape[:2])
    return pixels[top : top + CROP, left : left + CROP]


def _likeness(item: GalleryItem) -> str:
    """PSNR and, of images that are large enough for it, SSIM."""
    ratio = psnr(item.clean, item.protected)
    words = f"PSNR {'∞' if isinf(ratio) else f'{ratio:.1f} dB'}"
    return f"{words} · SSIM {ssim(item.clean, item.protected):.3f}" if min(item.clean.shape[:2]) >= WINDOW else words
