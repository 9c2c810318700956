"""Gaussian blur: a low-pass filter, which takes away what is finer than a pixel or two."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ue_ray.evaluation.countermeasures.base import Countermeasure, map_images


class GaussianBlur(Countermeasure):
    """``gaussian-blur``: a standard deviation of 1 pixel in an image of side 32, more in larger ones in proportion;
    ``gaussian-blur-2``: of 2 pixels."""

    forms = "gaussian-blur, gaussian-blur-0.5 ... gaussian-blur-5"

    def __init__(self, parameter: str) -> None:
        self.deviation = float(parameter or 1)
        if not 0.5 <= self.deviation <= 5:
            raise ValueError(parameter)

    def purify(self, images: np.ndarray) -> np.ndarray:
        blur = ImageFilter.GaussianBlur(self.deviation * images.shape[1] / 32)
        return map_images(lambda image: np.array(Image.fromarray(image).filter(blur)), images)
