"""Resizing: takes away what a thumbnail loses."""

from __future__ import annotations

import numpy as np

from ue_ray.evaluation.countermeasures.base import Countermeasure, map_images
from ue_ray.images.codec import resize


class Resize(Countermeasure):
    """``resize-half``: to half the side and back, by antialiased bilinear interpolation."""

    forms = "resize-half"

    def __init__(self, parameter: str) -> None:
        if parameter != "half":
            raise ValueError(parameter)

    def purify(self, images: np.ndarray) -> np.ndarray:
        side = images.shape[1]
        return map_images(lambda image: resize(resize(image, max(1, side // 2)), side), images)
