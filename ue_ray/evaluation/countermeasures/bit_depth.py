"""Reduces the levels of each channel: a change smaller than a level is lost (Xu et al., 2018)."""

from __future__ import annotations

import numpy as np

from ue_ray.evaluation.countermeasures.base import Countermeasure, whole


class BitDepth(Countermeasure):
    """``bit-depth-2``: keeps the two highest bits of each value, (x >> 6) << 6, as the field's tables do.

    The lower bits become zero, so images grow darker: by 32 of 255 levels on average with two bits.
    """

    forms = "bit-depth-1 ... bit-depth-7"

    def __init__(self, parameter: str) -> None:
        self.bits = whole(parameter, 1, 7)

    def purify(self, images: np.ndarray) -> np.ndarray:
        lost = 8 - self.bits
        return (images >> lost) << lost
