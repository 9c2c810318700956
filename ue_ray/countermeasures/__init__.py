"""What a data taker may try against the protection: one file each, and a plain dict of them.

A taker handles the training images, all of them alike: clean, control and protected. Test images stay as they are, but
for a countermeasure that changes what kind of image a victim sees (``on_test``).
"""

from __future__ import annotations

from ue_ray.countermeasures.adversarial_training import AdversarialTraining
from ue_ray.countermeasures.autoaugment import AutoAugment, RandAugment
from ue_ray.countermeasures.base import Countermeasure
from ue_ray.countermeasures.bit_depth import BitDepth
from ue_ray.countermeasures.cutmix import Cutmix
from ue_ray.countermeasures.cutout import Cutout
from ue_ray.countermeasures.early_stopping import EarlyStopping
from ue_ray.countermeasures.fast_autoaugment import FastAutoAugment
from ue_ray.countermeasures.gaussian_blur import GaussianBlur
from ue_ray.countermeasures.grayscale import Grayscale
from ue_ray.countermeasures.jpeg import Jpeg
from ue_ray.countermeasures.mixup import Mixup
from ue_ray.countermeasures.none import Nothing
from ue_ray.countermeasures.resize import Resize
from ue_ray.errors import UserError

__all__ = ["COUNTERMEASURES", "Countermeasure", "parse"]

COUNTERMEASURES: dict[str, type[Countermeasure]] = {
    "none": Nothing,
    "cutout": Cutout,
    "mixup": Mixup,
    "cutmix": Cutmix,
    "fast-autoaugment": FastAutoAugment,
    "autoaugment": AutoAugment,
    "randaugment": RandAugment,
    "grayscale": Grayscale,
    "jpeg": Jpeg,
    "resize": Resize,
    "bit-depth": BitDepth,
    "gaussian-blur": GaussianBlur,
    "adversarial-training": AdversarialTraining,
    "early-stopping": EarlyStopping,
}


def parse(name: str) -> Countermeasure:
    """``"grayscale"``, ``"jpeg-50"`` -> the countermeasure. Raises UserError, listing the choices, for no such name."""
    for kind, countermeasure in COUNTERMEASURES.items():
        if name == kind or name.startswith(f"{kind}-"):
            try:
                return countermeasure(name.removeprefix(kind).removeprefix("-"))
            except ValueError:
                break
    forms = ", ".join(of.forms for of in COUNTERMEASURES.values())
    raise UserError(f"unknown countermeasure {name!r}: choose among {forms}")
