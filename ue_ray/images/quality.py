"""How much people would notice: PSNR and SSIM of an image beside its original. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

WINDOW, SIGMA = 11, 1.5  # Wang, Bovik, Sheikh, Simoncelli, 2004
STABLE_MEAN, STABLE_VARIANCE = (0.01 * 255) ** 2, (0.03 * 255) ** 2

TOGETHER = 300_000  # values of images whose SSIM is computed together: what a core's cache holds

_BELL = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
_LINE = (_BELL / _BELL.sum()).astype(np.float32)


@dataclass(frozen=True)
class Likeness:
    """``psnr`` in dB, None where no pixel has changed; ``ssim``, None of an image that is too small for it."""

    psnr: float | None = None
    ssim: float | None = None


def psnr(before: np.ndarray, after: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images of one shape; infinite where they are equal."""
    bands = zip(
        np.array_split(before, 1 + len(before) // 256), np.array_split(after, 1 + len(before) // 256), strict=True
    )
    return psnr_of(sum(int(np.square(x.astype(np.int32) - y).sum(dtype=np.int64)) for x, y in bands), before.size)


def psnr_of(squares: int, values: int) -> float:
    """The same, of the sum of the squared differences of so many ``values``."""
    return 10 * math.log10(255**2 * values / squares) if squares else math.inf


def ssim(before: np.ndarray, after: np.ndarray) -> float:
    """Structural similarity of two uint8 images [H,W,3], at most 1: the mean over windows and channels.

    The windows stand on a grid over the whole image (``_in_windows``). Raises ValueError for images smaller than one,
    11x11.
    """
    return float(_ssim_each(before[None], after[None])[0])


def ssim_of_pairs(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[float | None]:
    """The same of each pair, None of those that are too small; small images of one size together, which saves time."""
    found: list[float | None] = [None] * len(pairs)
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for row, (before, _) in enumerate(pairs):
        if has_window(before):
            by_shape.setdefault(before.shape, []).append(row)
    for shape, rows in by_shape.items():
        together = TOGETHER // math.prod(shape)
        if together < 2:  # of large images there is no copy
            for row in rows:
                found[row] = ssim(*pairs[row])
            continue
        for first in range(0, len(rows), together):
            some = rows[first : first + together]
            before, after = (np.stack([pairs[row][side] for row in some]) for side in (0, 1))
            for row, similarity in zip(some, _ssim_each(before, after).tolist(), strict=True):
                found[row] = similarity
    return found


def _ssim_each(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Float [N], of uint8 [N,H,W,3]."""
    if not has_window(before[0]):
        raise ValueError(f"an image of {before.shape[2]}x{before.shape[1]} is smaller than the window of {WINDOW}")
    mean_x, mean_y, product, squares = _moments(before, after)
    of_means, square_means = mean_x * mean_y, mean_x**2 + mean_y**2
    means = (2 * of_means + STABLE_MEAN) / (square_means + STABLE_MEAN)
    likeness = means * (2 * (product - of_means) + STABLE_VARIANCE) / (squares - square_means + STABLE_VARIANCE)
    return np.asarray(likeness.mean(axis=(1, 2, 3), dtype=np.float64))


def _moments(before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
    """The weighted means of x, y, xy and xx + yy in each window of the grid, float32 [N,down,across,3].

    A weight is one of its row times one of its column: rows are summed first, then columns, and pixels in no window are
    not looked at.
    """
    rows = _summed(
        _products(before[:, row], after[:, row], weight)
        for row, weight in zip(_in_windows(before.shape[1]), _LINE, strict=True)
    )
    return _summed(
        [moment[:, :, column] * weight for moment in rows]
        for column, weight in zip(_in_windows(before.shape[2]), _LINE, strict=True)
    )


def _products(before: np.ndarray, after: np.ndarray, weight: np.float32) -> list[np.ndarray]:
    x, y = before.astype(np.float32), after.astype(np.float32)
    scaled_x, scaled_y = x * weight, y * weight
    return [scaled_x, scaled_y, scaled_x * y, scaled_x * x + scaled_y * y]


def _summed(parts: Iterator[list[np.ndarray]]) -> list[np.ndarray]:
    totals = next(parts)
    for part in parts:
        for total, value in zip(totals, part, strict=True):
            total += value
    return totals


def has_window(image: np.ndarray) -> bool:
    """Whether SSIM says anything of an image of this size."""
    return min(image.shape[:2]) >= WINDOW


def _in_windows(side: int) -> list[slice]:
    """Where the first pixels of all windows are along a side, the second ones, and so on.

    Windows stand 5 pixels apart in 32, 11 in 250, 27 in 1500. All windows would take several times as long as
    protecting the image. Their mean differs by 0.003, at most 0.015, in faces of 64 to 250 pixels, by 0.004, at most
    0.027, in 32, by 0.001 in photos. Odd numbers are out of step with the blocks of JPEG.
    """
    step = math.isqrt(side // 2) | 1
    first, last = (side - WINDOW) % step // 2, side - WINDOW
    return [slice(first + pixel, last + pixel + 1, step) for pixel in range(WINDOW)]
