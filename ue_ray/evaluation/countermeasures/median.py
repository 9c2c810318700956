"""Median filter: takes away single pixels and fine patterns, and keeps edges (Xu et al., 2018)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ue_ray.evaluation.countermeasures.base import Countermeasure, map_images


class Median(Countermeasure):
    """``median``: the median of 3x3 pixels, a channel at a time; edges are continued by their own pixels."""

    forms = "median"

    def purify(self, images: np.ndarray) -> np.ndarray:
        median = ImageFilter.MedianFilter(3)
        return map_images(lambda image: np.array(Image.fromarray(image).filter(median)), images)
