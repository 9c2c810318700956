"""Reduces the levels of each channel: a change smaller than a level is lost (Xu et al., 2018)."""

from __future__ import annotations

import numpy as np

from ue_ray.evaluation.countermeasures.base import Countermeasure


class BitDepth(Countermeasure):
    """``bit-depth-3``: rounds each value to the nearest of 2^3 levels, which are evenly spread over the range."""

    forms = "bit-depth-1 ... bit-depth-7"

    def __init__(self, parameter: str) -> None:
        self.bits = int(parameter)
        if not 1 <= self.bits <= 7:
            raise ValueError(parameter)

    def purify(self, images: np.ndarray) -> np.ndarray:
        steps = 2**self.bits - 1
        table = np.rint(np.rint(np.arange(256) / 255 * steps) / steps * 255).astype(np.uint8)
        return table[images]
