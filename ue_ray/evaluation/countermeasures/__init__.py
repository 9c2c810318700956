"""What a data taker may try against the protection: one file each, and a plain dict of them.

A taker handles the training images, all of them alike: clean, control and protected. Test images stay as they are, but
for a countermeasure that changes what kind of image a victim sees (``on_test``).
"""

from __future__ import annotations

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures.adversarial_training import AdversarialTraining
from ue_ray.evaluation.countermeasures.autoaugment import AutoAugment, RandAugment
from ue_ray.evaluation.countermeasures.base import Countermeasure
from ue_ray.evaluation.countermeasures.bit_depth import BitDepth
from ue_ray.evaluation.countermeasures.cutmix import Cutmix
from ue_ray.evaluation.countermeasures.cutout import Cutout
from ue_ray.evaluation.countermeasures.early_stopping import EarlyStopping
from ue_ray.evaluation.countermeasures.fast_autoaugment import FastAutoAugment
from ue_ray.evaluation.countermeasures.gaussian_blur import GaussianBlur
from ue_ray.evaluation.countermeasures.grayscale import Grayscale
from ue_ray.evaluation.countermeasures.jpeg import Jpeg
from ue_ray.evaluation.countermeasures.mixup import Mixup
from ue_ray.evaluation.countermeasures.none import Nothing
from ue_ray.evaluation.countermeasures.resize import Resize

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
