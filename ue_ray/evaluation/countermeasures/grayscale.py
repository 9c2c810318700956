"""Without colour, where much of a small perturbation lives."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ue_ray.evaluation.countermeasures.base import Countermeasure, one_by_one


class Grayscale(Countermeasure):
    """ITU-R 601 luma in all three channels, as Pillow rounds it.

    The test images too: a taker whose network has never seen a colour asks it about grays.
    """

    forms = "grayscale"
    on_test = True

    def purify(self, images: np.ndarray) -> np.ndarray:
        return one_by_one(_gray, images)


def _gray(image: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(image).convert("L").convert("RGB"))
