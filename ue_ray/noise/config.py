"""Everything that decides a noise, in one frozen record: it is the artifact's card and the run's fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ue_ray.errors import UserError, flag, option
from ue_ray.noise.budget import Budget, Norm, parse_epsilon

Granularity = Literal["class-wise", "sample-wise"]

DEFAULT_METHOD = (
    "Default: gratings; error-minimizing where an option of crafting, a canvas or a patch is given, and for more than "
    "54 classes of 100 or more images of at most 64 pixels."
)


@dataclass(frozen=True, kw_only=True)
class NoiseOptions:
    """What a user may say of a noise, whatever its method; None where the data decides."""

    method: str | None = option(f"How it is made. {DEFAULT_METHOD}", None)
    granularity: Granularity = option("One delta a class, or one an image. Default: class-wise.", "class-wise")
    epsilon: float = option(
        "The budget, of a range of [0, 1]; ops and cuda have their own. Default: 8/255.", 8 / 255, parse_epsilon
    )
    norm: Norm = option("The budget's norm: linf or l2. Default: linf.", "linf")
    image_size: int | None = option("Side at which the surrogate sees images. Default: their own, at most 224.", None)
    canvas: int | None = option(
        "Side of the square on which delta lives, upsampled to the image. Default: image-size, or patch.", None
    )
    patch: int | None = option(
        "Cover a square of so many of the image-size pixels a side, at a random place in each image, instead of all.",
        None,
    )
    seed: int = option("Same seed, same noise. Default: 0.", 0)
    owner: str | None = option(
        "A name or a phrase to draw the noise by, instead of --seed: the same for the next photos, another for another "
        "owner. What is published does not hold it.",
        None,
    )


def owner_seed(owner: str) -> int:
    """Returns the seed that stands for an owner, 62 bits; finding the owner again takes a guess and 50 ms a guess."""
    key = hashlib.scrypt(owner.encode(), salt=b"ue_ray owner", n=2**14, r=8, p=1, dklen=8)
    return int.from_bytes(key, "big") >> 2


@dataclass(frozen=True)
class NoOptions:
    """Of a method that has none of its own."""


@dataclass(frozen=True)
class NoiseConfig:
    """How a noise is made.

    ``image_size``: the side S at which the surrogate sees images. ``canvas``: the side of the square on which delta
    lives. ``patch``: of how many of the S pixels a side it covers a square, at a random place; None: the whole image.
    ``options``: the method's own, as plain data (``NoiseMethod.Options`` reads them).

    Raises UserError for a value out of range.
    """

    method: str
    granularity: Granularity
    budget: Budget
    class_names: tuple[str, ...]
    image_size: int
    canvas: int
    patch: int | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("image_size", "canvas"):
            if getattr(self, name) < 1:
                raise UserError(f"{flag(name)} is {getattr(self, name)}: it must be at least 1")
        if self.patch is not None and not 1 <= self.patch <= self.image_size:
            raise UserError(f"--patch is {self.patch}: it must be from 1 to image-size, {self.image_size}")
        if self.seed < 0:
            raise UserError(f"--seed is {self.seed}: it must be at least 0")

    @property
    def patch_share(self) -> float:
        """Share of each of the image's sides that the patch takes; 1: all of it."""
        return 1.0 if self.patch is None else self.patch / self.image_size

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> NoiseConfig:
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in values["options"].items()}
        changed = {
            "budget": Budget(**values["budget"]),
            "class_names": tuple(values["class_names"]),
            "options": options,
        }
        return NoiseConfig(**{**values, **changed})
