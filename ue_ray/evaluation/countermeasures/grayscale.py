"""Grayscale: removes the colours, which carry much of a small perturbation (Liu, Zhao, Larson, 2023)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ue_ray.evaluation.countermeasures.base import Countermeasure, map_images


class Grayscale(Countermeasure):
    """``grayscale``: ITU-R 601 luma in all three channels, as Pillow rounds it.

    Test images are made gray too: the network has never seen a colour. ``grayscale-train``: the training images alone,
    as the field's tables have it; tests are in colour.
    """

    forms = "grayscale, grayscale-train"

    def __init__(self, parameter: str) -> None:
        if parameter not in ("", "train"):
            raise ValueError(parameter)
        self.on_test = not parameter

    def purify(self, images: np.ndarray) -> np.ndarray:
        return map_images(_gray, images)


def _gray(image: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(image).convert("L").convert("RGB"))
