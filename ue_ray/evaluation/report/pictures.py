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

SMALL = 128  # up to here a picture is enlarged without smoothing


def picture(pixels: NDArray[np.uint8], description: str) -> dict[str, Any]:
    """``pixels`` [H, W, 3], losslessly."""
    (height, width), buffer = pixels.shape[:2], BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    source = f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"
    small = max(height, width) <= SMALL
    return {"source": source, "description": description, "width": width, "height": height, "small": small}


def bound_of(items: Sequence[GalleryItem], protected: Mapping[str, Any]) -> float:
    """The change that fills the range: epsilon or, without one, the largest. ``protected``: as in results.json."""
    largest = max((item.max_abs_delta for item in items), default=0.0)
    return (protected.get("epsilon") if protected.get("norm") == "linf" else None) or largest or 1 / 255


def gallery_rows(items: Sequence[GalleryItem], bound: float) -> dict[str, Any] | None:
    """Each item with its delta, magnified so that ``bound`` fills the range; None where there are no items."""
    if not items:
        return None
    columns = ("clean", "protected", f"delta × {0.5 / bound:.3g}")
    rows = []
    for item in items:
        delta = item.protected.astype(np.int16) - item.clean
        magnified = np.round(255 * np.clip(0.5 + 0.5 * delta / (255 * bound), 0, 1)).astype(np.uint8)
        shown = zip(columns, (item.clean, item.protected, magnified), strict=True)
        pictures = [picture(pixels, f"{item.label}, {column}") for column, pixels in shown]
        words = f"{_likeness(item)} · largest change {levels(item.max_abs_delta)}"
        rows.append({"item": item, "change": words, "pictures": pictures})
    return {"columns": columns, "rows": rows, "bound": levels(bound)}


def _likeness(item: GalleryItem) -> str:
    """PSNR and, of images that are large enough for it, SSIM."""
    words = f"PSNR {'∞' if isinf(item.psnr) else f'{item.psnr:.1f} dB'}"
    return words if item.ssim is None else f"{words} · SSIM {item.ssim:.3f}"
