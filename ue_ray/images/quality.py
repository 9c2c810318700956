"""How much people would notice: PSNR and SSIM of an image beside its original. NumPy only."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

WINDOW, SIGMA = 11, 1.5  # Wang, Bovik, Sheikh, Simoncelli, 2004
STABLE_MEAN, STABLE_VARIANCE = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(before: np.ndarray, after: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images of one shape; infinite where they are equal."""
    mean_square = float(np.mean(np.square(before.astype(np.float64) - after)))
    return 10 * math.log10(255**2 / mean_square) if mean_square else math.inf


def ssim(before: np.ndarray, after: np.ndarray) -> float:
    """Structural similarity of two uint8 images [H,W,3], at most 1: the mean over all whole windows and channels.

    Raises ValueError for images smaller than the window, 11x11.
    """
    if min(before.shape[:2]) < WINDOW:
        raise ValueError(f"an image of {before.shape[1]}x{before.shape[0]} is smaller than the window of {WINDOW}")
    x, y = before.astype(np.float64), after.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    variances = _blurred(x * x) - mean_x**2 + _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    means = (2 * mean_x * mean_y + STABLE_MEAN) / (mean_x**2 + mean_y**2 + STABLE_MEAN)
    return float(np.mean(means * (2 * covariance + STABLE_VARIANCE) / (variances + STABLE_VARIANCE)))


def _blurred(image: np.ndarray) -> np.ndarray:
    """[H,W,3] -> the Gaussian mean of every whole window, [H-10,W-10,3]."""
    weights = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        image = sliding_window_view(image, WINDOW, axis) @ weights
    return image
