"""Grayscale: removes the colours, which carry much of a small perturbation."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ue_ray.evaluation.countermeasures.base import Countermeasure, map_images


class Grayscale(Countermeasure):
    """``grayscale``: ITU-R 601 luma in all three channels, as Pillow rounds it.

    Test images are made gray too: the network has never seen a colour.
    """

    forms = "grayscale"
    on_test = True

    def purify(self, images: np.ndarray) -> np.ndarray:
        return map_images(_gray, images)


def _gray(image: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(image).convert("L").convert("RGB"))
