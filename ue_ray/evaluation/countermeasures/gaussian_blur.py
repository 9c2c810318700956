"""A low-pass filter: what is finer than a pixel or two is lost."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ue_ray.evaluation.countermeasures.base import Countermeasure, one_by_one


class GaussianBlur(Countermeasure):
    """``gaussian-blur``: a standard deviation of 1 pixel a 32 pixels of side; ``gaussian-blur-2``: of 2."""

    forms = "gaussian-blur, gaussian-blur-0.5 ... gaussian-blur-5"

    def __init__(self, parameter: str) -> None:
        self.deviation = float(parameter or 1)
        if not 0.5 <= self.deviation <= 5:
            raise ValueError(parameter)

    def purify(self, images: np.ndarray) -> np.ndarray:
        blur = ImageFilter.GaussianBlur(self.deviation * images.shape[1] / 32)
        return one_by_one(lambda image: np.array(Image.fromarray(image).filter(blur)), images)
