"""What a user may say of a crafting, beside what holds for every noise. No torch is loaded until it is checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ue_ray.errors import UserError, check_at_least, choose_all, flag, option
from ue_ray.noise.budget import parse_epsilon
from ue_ray.noise.config import Granularity

Schedule = Literal["online", "alternating"]
Solver = Literal["pgd", "l-bfgs"]
Tint = Literal["opponent", "brightness"]
Adversary = Literal["noise", "pgd"]
DATA_FRACTION = "Share of each class to craft on. Default: 0.2 class-wise, 1 sample-wise; ops: 1."
FEWEST_CELLS = 8  # a side, from which on there are enough waves to call it a grating


def parse_views(text: str) -> tuple[str, ...]:
    """Reads ``"crop,flip"``, or ``"none"``. Raises UserError, listing the choices, for a name that is no view."""
    from ue_ray.noise.crafting.views import VIEWS

    return () if text == "none" else tuple(choose_all(text, VIEWS, "view"))


@dataclass(frozen=True, kw_only=True)
class CraftOptions:
    """Options of a method that crafts its noise on a surrogate network; Algorithm 1's names in brackets.

    ``step_size`` is in [0, 1] units. A run that never gets below ``stop_error`` ends after ``max_rounds``.
    """

    surrogate: str = option(
        "The network that crafts the noise. Default: resnet18 on a GPU, resnet9 elsewhere; pil: linear."
    )
    learning_rate: float = option(
        "The surrogate's. Default: 0.1, never decayed, as in the authors' code; pil: 0.01.", 0.1
    )
    views: tuple[str, ...] = option(
        "Random transforms of the perturbed image before the surrogate sees it, by commas: crop, flip, grayscale, "
        "jpeg, resize; or none. Default: none; crop,flip for the online schedule and for tap.",
        parse=parse_views,
    )
    pgd_steps: int = option(
        "Steps of a delta in a pass (T). Default: 1 class-wise, 20 sample-wise, 5 online; tap 250 sample-wise."
    )
    step_size: float = option(
        "Size of such a step (alpha), such as 0.8/255. Default: epsilon / 10; online epsilon / 4; tap epsilon / 20.",
        parse=parse_epsilon,
    )
    stop_error: float = option("Stop below this training error (lambda). Default: 0.1 class-wise, 0.01 sample-wise.")
    data_fraction: float = option(DATA_FRACTION)
    max_rounds: int = option("Bound on rounds. Default: 100 class-wise, 30 sample-wise, 15 online.")
    batch_size: int = option(
        "Images of a global batch, over all workers. Default: class-wise a twentieth of those crafted on, from 16 to "
        "512; sample-wise 128, online 64."
    )

    def __post_init__(self) -> None:
        from ue_ray.learning.models import check_model

        check_model(self.surrogate)
        check_at_least(self, {"pgd_steps": 1, "max_rounds": 1, "batch_size": 1})
        if not 0 < self.learning_rate < math.inf:
            raise UserError(f"--learning-rate is {self.learning_rate:g}: it must be above 0")
        _check_share("data_fraction", self.data_fraction)


@dataclass(frozen=True, kw_only=True)
class ErrorMinimizingOptions(CraftOptions):
    """Crafting's options, and Algorithm 1's weight steps, its schedule and its solver."""

    weight_steps: int = option("Weight steps a round (M). Default: 10; 1 online, 100 for solver l-bfgs.")
    schedule: Schedule = option(
        "Sample-wise: online keeps no table of deltas; alternating is Algorithm 1 to the letter. Default: online.",
        "online",
    )
    solver: Solver = option(
        "Sample-wise: l-bfgs minimises the penalised loss of Eq. 5, by Adam (Appendix I). Default: pgd.", "pgd"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, {"weight_steps": 1})


@dataclass(frozen=True, kw_only=True)
class SEMOptions(ErrorMinimizingOptions):
    """Error-minimizing's options, and those of the adversary that the noise is crafted against."""

    adversary: Adversary = option(
        "What disturbs images while their deltas are moved: noise (SEM), or pgd, an attack at each step (REM), which "
        "takes --adversary-steps times as long. Default: noise.",
        "noise",
    )
    adversary_epsilon: float = option(
        "How far it may go, in --norm. Default: epsilon / 2, at least 1/255.", parse=parse_epsilon
    )
    adversary_steps: int = option("Steps of its attacks, each of a fifth of that. Default: 10.", 10)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, {"adversary_steps": 1})


@dataclass(frozen=True, kw_only=True)
class GratingsOptions:
    """``cells``: how many cells, each of one colour, a side of the image has."""

    cells: int | None = option(
        "Cells a side. Default: one for each pixel of the canvas where 2 to 54 classes have 100 or more images of at "
        "most 64 pixels, else 8. 2, a colour in each quarter, is for digits and drawings.",
        None,
    )
    tint: Tint = option(
        "Of 8 and more cells that are asked for: opponent (red against green: photos vary least in that) or brightness "
        "(red with green: it outlives grayscale from 12/255 on, and is less certain). Default: opponent.",
        "opponent",
    )

    def __post_init__(self) -> None:
        check_at_least(self, {"cells": 2})
        if self.tint != "opponent" and (self.cells is None or self.cells < FEWEST_CELLS):
            raise UserError(f"--tint {self.tint} is for coarse gratings: give --cells {FEWEST_CELLS} or more")


@dataclass(frozen=True, kw_only=True)
class OPSOptions:
    """The pixels are chosen on this share of the images."""

    data_fraction: float = option(DATA_FRACTION, 1.0)

    def __post_init__(self) -> None:
        _check_share("data_fraction", self.data_fraction)


@dataclass(frozen=True, kw_only=True)
class CUDAOptions:
    """Of each class's blur, as in the paper for images of 32 pixels."""

    kernel_size: int = option("Pixels a side of a class's blur, an odd number. Default: 3.", 3)
    blur: float = option("The largest weight of a pixel's neighbours; one of all has weight 1. Default: 0.3.", 0.3)

    def __post_init__(self) -> None:
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise UserError(f"--kernel-size is {self.kernel_size}: it must be odd, and at least 3")
        _check_share("blur", self.blur)


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise UserError(f"{flag(name)} is {value:g}: it must be above 0 and at most 1")


def class_wise_batch_size(images: int) -> int:
    """Returns the global batch that cuts ``images`` into about 20, as the authors' cuts theirs (10,000 images by 512).

    A class's delta takes one step of epsilon / 10 a batch: with fewer than 10 batches a pass it cannot cross its budget
    before the surrogate has learnt the images. In steps of 16, from 16 to 512.
    """
    return min(512, max(16, 16 * round(images / (20 * 16))))


def algorithm_1_defaults(
    granularity: Granularity, epsilon: float, given: Mapping[str, Any], images: int, gpu: bool
) -> dict[str, Any]:
    """Returns Appendix B's parameters and our bounds on rounds.

    Class-wise: T = 1, 20 % of the data, lambda = 0.1. Sample-wise: T = 20, all data, lambda = 0.01. alpha =
    epsilon / 10.
    """
    class_wise = granularity == "class-wise"
    fraction = 0.2 if class_wise else 1.0
    crafted_on = round(images * given.get("data_fraction", fraction))
    return {
        "surrogate": "resnet18" if gpu else "resnet9",
        "views": (),
        "pgd_steps": 1 if class_wise else 20,
        "step_size": epsilon / 10,
        "stop_error": 0.1 if class_wise else 0.01,
        "data_fraction": fraction,
        "max_rounds": 100 if class_wise else 30,
        "batch_size": class_wise_batch_size(crafted_on) if class_wise else 128,
    }
