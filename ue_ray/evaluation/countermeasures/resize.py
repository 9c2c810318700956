"""Down to half the side and back: what a thumbnail loses."""

from __future__ import annotations

import numpy as np

from ue_ray.evaluation.countermeasures.base import Countermeasure, one_by_one
from ue_ray.images.codec import resize


class Resize(Countermeasure):
    """``resize-half``: antialiased bilinear, both ways."""

    forms = "resize-half"

    def __init__(self, parameter: str) -> None:
        if parameter != "half":
            raise ValueError(parameter)

    def purify(self, images: np.ndarray) -> np.ndarray:
        side = images.shape[1]
        return one_by_one(lambda image: resize(resize(image, max(1, side // 2)), side), images)
