"""JPEG compression, which most photos go through when they are published."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from ue_ray.evaluation.countermeasures.base import Countermeasure, map_images


class Jpeg(Countermeasure):
    """``jpeg-50``: encodes at quality 50, with colours at half the resolution (4:2:0), and decodes."""

    forms = "jpeg-1 ... jpeg-100"

    def __init__(self, parameter: str) -> None:
        self.quality = int(parameter)
        if not 1 <= self.quality <= 100:
            raise ValueError(parameter)

    def purify(self, images: np.ndarray) -> np.ndarray:
        return map_images(self._round_trip, images)

    def _round_trip(self, image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
        with Image.open(file) as decoded:
            return np.array(decoded)
