"""What a data taker may try against the protection: a file for each countermeasure, and a plain dict of them.

The taker treats all training images alike: clean, control and protected. Test images stay as they are, except for a
countermeasure that changes the kind of image that a victim sees (``on_test``).
"""

from __future__ import annotations

from contextlib import suppress

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures.adversarial_training import AdversarialTraining
from ue_ray.evaluation.countermeasures.autoaugment import AutoAugment, RandAugment
from ue_ray.evaluation.countermeasures.base import Countermeasure
from ue_ray.evaluation.countermeasures.bit_depth import BitDepth
from ue_ray.evaluation.countermeasures.coin import Coin
from ue_ray.evaluation.countermeasures.composition import Composition
from ue_ray.evaluation.countermeasures.cutmix import Cutmix
from ue_ray.evaluation.countermeasures.cutout import Cutout
from ue_ray.evaluation.countermeasures.denoise_dct import DenoiseDct
from ue_ray.evaluation.countermeasures.early_stopping import EarlyStopping
from ue_ray.evaluation.countermeasures.fast_autoaugment import FastAutoAugment
from ue_ray.evaluation.countermeasures.gaussian_blur import GaussianBlur
from ue_ray.evaluation.countermeasures.grayscale import Grayscale
from ue_ray.evaluation.countermeasures.jpeg import Jpeg
from ue_ray.evaluation.countermeasures.median import Median
from ue_ray.evaluation.countermeasures.mixup import Mixup
from ue_ray.evaluation.countermeasures.none import Nothing
from ue_ray.evaluation.countermeasures.orthogonal_projection import OrthogonalProjection
from ue_ray.evaluation.countermeasures.resize import Resize
from ue_ray.evaluation.countermeasures.ueraser import UEraser

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
    "median": Median,
    "denoise-dct": DenoiseDct,
    "orthogonal-projection": OrthogonalProjection,
    "coin": Coin,
    "ueraser": UEraser,
    "adversarial-training": AdversarialTraining,
    "early-stopping": EarlyStopping,
}


def parse(name: str) -> Countermeasure:
    """Returns the countermeasure of that name, such as ``"grayscale"`` or ``"jpeg-50"``: a key of COUNTERMEASURES and,
    behind a dash, its parameter. Names joined by ``+`` are done one after the other.

    Raises UserError, listing the choices, for any other name.

    Example:
        >>> parse("jpeg-50").quality
        50
        >>> len(parse("grayscale+jpeg-10").parts)
        2
    """
    names = name.split("+")
    parts = [_parse(part, "" if part == name else f" in {name!r}") for part in names]
    return parts[0] if len(parts) == 1 else Composition(names, parts)


def _parse(name: str, where: str) -> Countermeasure:
    for kind in sorted(COUNTERMEASURES, key=len, reverse=True):  # one key may begin with another
        if name == kind or (name.startswith(f"{kind}-") and name != f"{kind}-"):
            with suppress(ValueError):
                return COUNTERMEASURES[kind](name.removeprefix(kind).removeprefix("-"))
    forms = ", ".join([kind.forms for kind in COUNTERMEASURES.values()] + [Composition.forms])
    raise UserError(f"unknown countermeasure {name!r}{where}: choose among {forms}")
