"""Everything that decides a noise, in one frozen record: it is the artifact's card and the run's fingerprint."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ue_ray.errors import UserError
from ue_ray.learning.models import check_model
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.views import check_views

Granularity = Literal["class-wise", "sample-wise"]
Schedule = Literal["online", "alternating"]
Solver = Literal["pgd", "l-bfgs"]


@dataclass(frozen=True)
class NoiseConfig:
    """How a noise is crafted. The defaults by method are ``default_parameters``.

    ``image_size``: the side S at which the surrogate sees images; ``canvas``: the side at which delta lives;
    ``patch``: of how many of the S pixels a side it covers a square, at a random place; None: the whole image.
    ``pgd_steps`` T, ``step_size`` alpha ([0, 1] units), ``weight_steps`` M and ``stop_error`` lambda are Algorithm 1's;
    ``solver``: how a delta is moved: by PGD (Eq. 3), or by Adam on the penalised loss of Eq. 5 with the same steps.
    ``data_fraction`` is the share of each class that the noise is crafted on; ``max_rounds`` ends a run that never gets
    below ``stop_error``. ``learning_rate`` is the surrogate's: 0.1, never decayed, as in the authors' code.
    """

    method: str
    granularity: Granularity
    budget: Budget
    class_names: tuple[str, ...]
    image_size: int
    canvas: int
    surrogate: str
    pgd_steps: int
    step_size: float
    weight_steps: int
    stop_error: float
    data_fraction: float
    max_rounds: int
    batch_size: int
    schedule: Schedule = "online"
    views: tuple[str, ...] = ()
    learning_rate: float = 0.1
    seed: int = 0
    patch: int | None = None
    solver: Solver = "pgd"

    def __post_init__(self) -> None:
        if self.granularity not in get_args(Granularity):
            raise UserError(
                f"unknown granularity {self.granularity!r}: choose one of {', '.join(get_args(Granularity))}"
            )
        if self.schedule not in get_args(Schedule):
            raise UserError(f"unknown schedule {self.schedule!r}: choose one of {', '.join(get_args(Schedule))}")
        if self.solver not in get_args(Solver):
            raise UserError(f"unknown solver {self.solver!r}: choose one of {', '.join(get_args(Solver))}")
        if self.solver == "l-bfgs" and (self.method, self.granularity) != ("error-minimizing", "sample-wise"):
            raise UserError("solver l-bfgs is for error-minimizing noise, sample-wise")
        check_model(self.surrogate)
        check_views(self.views)
        for name in ("image_size", "canvas", "pgd_steps", "weight_steps", "max_rounds", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name.replace('_', '-')} is {getattr(self, name)}: it must be at least 1")
        if self.patch is not None and not 1 <= self.patch <= self.image_size:
            raise UserError(f"patch is {self.patch}: it must be from 1 to image-size, {self.image_size}")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}: it must be at least 0")
        if not 0 < self.learning_rate < math.inf:
            raise UserError(f"learning-rate is {self.learning_rate:g}: it must be above 0")
        if self.schedule == "alternating" and self.granularity == "sample-wise" and self.data_fraction < 1:
            raise UserError("schedule alternating keeps a delta for each image: it needs --data-fraction 1")
        if not 0 < self.data_fraction <= 1:
            raise UserError(f"data-fraction is {self.data_fraction:g}: it must be above 0 and at most 1")

    @property
    def patch_share(self) -> float:
        """Of each of the image's sides; 1: all of it."""
        return 1.0 if self.patch is None else self.patch / self.image_size

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> NoiseConfig:
        return NoiseConfig(
            **{
                **values,
                "budget": Budget(**values["budget"]),
                "class_names": tuple(values["class_names"]),
                "views": tuple(values["views"]),
            }
        )


def class_wise_batch_size(images: int) -> int:
    """The global batch that cuts ``images`` into about 20, as the authors' cuts theirs (10,000 images by 512).

    A class's delta takes one step of epsilon / 10 a batch: with fewer than 10 batches a pass it cannot cross its budget
    before the surrogate has learnt the images. In steps of 16, from 16 to 512.
    """
    return min(512, max(16, 16 * round(images / (20 * 16))))


def default_parameters(
    method: str, granularity: str, schedule: str, epsilon: float, solver: Solver = "pgd"
) -> dict[str, Any]:
    """Appendix B's parameters, the online schedule's own, and our bounds on rounds, by method and granularity.

    Class-wise: T = 1, 20 % of the data, lambda = 0.1. Sample-wise: T = 20, all data, lambda = 0.01. alpha = epsilon
    / 10; M = 10 (the paper's for CIFAR-10; 20 for CIFAR-100, 100 for ImageNet). The online schedule starts every
    delta from zero, so it takes few large steps (T = 5, alpha = epsilon / 4), and it looks through crops and flips:
    without them its noise did not outlive a victim's augmentation (docs/log.md). Algorithm 1 with the solver l-bfgs:
    T = 200, M = 100 (Appendix I).
    """
    class_wise = granularity == "class-wise"
    if method == "error-minimizing" and not class_wise and schedule == "online":
        return {
            "pgd_steps": 5,
            "step_size": epsilon / 4,
            "weight_steps": 1,
            "stop_error": 0.01,
            "data_fraction": 1.0,
            "max_rounds": 15,
            "batch_size": 64,
            "views": ("crop", "flip"),
        }
    steps, weight_steps = (200, 100) if solver == "l-bfgs" else (1 if class_wise else 20, 10)
    return {
        "pgd_steps": steps,
        "step_size": epsilon / 10,
        "weight_steps": weight_steps,
        "stop_error": 0.1 if class_wise else 0.01,
        "data_fraction": 0.2 if class_wise else 1.0,
        "max_rounds": 100 if class_wise else 30,
        "batch_size": 128,
        "views": (),
    }
