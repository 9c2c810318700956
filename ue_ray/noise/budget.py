"""How far a protected image may be from its original: the only place that clips and rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ue_ray.errors import UserError, choose

if TYPE_CHECKING:  # help comes at once: options import this file, and torch takes seconds
    from torch import Tensor

Norm = Literal["linf", "l2"]
OwnNorm = Literal["l0", "unbounded"]  # of methods that state their budget themselves (``NoiseMethod.budget``)
LEVELS = 255  # an 8-bit channel has the values 0/255 ... 255/255


def parse_epsilon(text: str) -> float:
    """``"8/255"``, ``"0.8/255"`` or ``"0.03"`` -> a float in [0, 1] units. Raises UserError for anything else."""
    numerator, slash, denominator = text.partition("/")
    try:
        value = float(numerator) / (float(denominator) if slash else 1)
    except (ValueError, ZeroDivisionError):
        raise UserError(f"{text!r} is not a number: write a fraction such as 8/255, or a decimal") from None
    if not 0 < value < math.inf:
        raise UserError(f"{text!r} is not a positive number: write a fraction such as 8/255")
    return value


@dataclass(frozen=True)
class Budget:
    """The ball every delta stays in.

    ``epsilon`` is in [0, 1] units (8/255 is the paper's choice for 32x32 images). ``norm`` is ``linf`` (each channel of
    each pixel moves by at most epsilon) or ``l2`` (the whole image moves by at most epsilon, Euclidean).

    Two more are for methods that state their budget themselves. ``l0``: at most epsilon pixels change, each in any way.
    ``unbounded``: nothing is promised, and epsilon is 1, the whole range; what changed is measured.
    """

    epsilon: float
    norm: Norm | OwnNorm = "linf"

    def __post_init__(self) -> None:
        choose(self.norm, [*get_args(Norm), *get_args(OwnNorm)], "norm")
        if self.norm == "l0" and self.epsilon != int(self.epsilon):
            raise UserError(f"epsilon {self.epsilon:g} is no number of pixels, which is what norm l0 counts")
        if self.norm == "unbounded" and self.epsilon != 1:
            raise UserError(f"epsilon {self.epsilon:g} says nothing where the norm is unbounded: it is 1")
        if self.norm == "linf" and self.epsilon > 1:
            raise UserError(
                f"epsilon {self.epsilon:g} is more than the whole range [0, 1]: did you mean {self.epsilon:g}/255?"
            )
        if self.epsilon * LEVELS < 1 - 1e-6:
            raise UserError(f"epsilon {self.epsilon:g} is below one 8-bit level (1/255): it cannot change an image")

    def project(self, delta: Tensor) -> Tensor:
        """The nearest point of the ball; ``delta`` is float [N,C,H,W] in [0, 1] units."""
        if self.norm == "linf":
            return delta.clamp(-self.epsilon, self.epsilon)
        if self.norm == "unbounded":
            return delta
        if self.norm == "l0":
            return self._most_changed(delta)
        norms = delta.flatten(1).norm(dim=1).clamp_min(1e-12)
        return delta * (self.epsilon / norms).clamp_max(1.0).view(-1, 1, 1, 1)

    def _most_changed(self, delta: Tensor) -> Tensor:
        """``delta`` where its epsilon largest pixels are, zero elsewhere."""
        flat = delta.flatten(2)
        largest = flat.abs().amax(1).topk(min(int(self.epsilon), flat.shape[2]), dim=1).indices
        kept = largest[:, None].expand(-1, flat.shape[1], -1)
        return flat.new_zeros(flat.shape).scatter(2, kept, flat.gather(2, kept)).view_as(delta)

    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest step of length 1 in this norm: the sign (L-inf, Eq. 3 of the paper) or the unit vector (L2)."""
        if self.norm == "linf":
            return gradient.sign()
        return gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)

    def round(self, delta: Tensor) -> Tensor:
        """``delta`` as whole 8-bit levels, int16 [N,C,H,W], still inside the ball.

        The rounding does not look at the image, so a class-wise delta is the same in every image of its class.
        """
        if self.norm == "linf":
            most = math.floor(self.epsilon * LEVELS + 1e-6)
            return (delta * LEVELS).round_().clamp_(-most, most).short()
        levels = self.project(delta) * LEVELS
        rounded = levels.round()
        if self.norm != "l2":
            return rounded.short()
        for _ in range(64):  # rounding may push a delta out of the L2 ball: shrink just those until they are in
            outside = rounded.flatten(1).norm(dim=1) > self.epsilon * LEVELS
            if not outside.any():
                return rounded.short()
            levels = levels.where(~outside.view(-1, 1, 1, 1), levels * 0.98)
            rounded = levels.round()
        return levels.trunc().short()

    @staticmethod
    def apply(image: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """``image`` uint8 of any shape plus rounded ``levels`` int16. Clipping to [0, 255] only shrinks a change."""
        moved = np.add(image, levels, dtype=np.int16)
        return np.clip(moved, 0, LEVELS, out=moved).astype(np.uint8)

    def size(self, change: Tensor) -> Tensor:
        """The norm of each image's change, float64 [N] in [0, 1] units, or pixels (L0); ``unbounded`` has L-inf's.

        ``change`` is a difference in 8-bit levels, [N,H,W,3].
        """
        if self.norm == "l0":
            return (change != 0).any(dim=-1).flatten(1).sum(dim=1).double()
        flat = change.flatten(1)
        size = flat.double().norm(dim=1) if self.norm == "l2" else flat.abs().amax(dim=1)
        return size.double() / LEVELS

    def shares(self, delta: Tensor) -> Tensor:
        """How much of the ball each delta takes, float [N] in [0, 1]: the mean element against epsilon (L-inf), or the
        norm against it (L2). ``delta`` is float [N,C,H,W] in [0, 1] units."""
        flat = delta.flatten(1)
        return (flat.abs().mean(1) if self.norm == "linf" else flat.norm(dim=1)) / self.epsilon

    def holds(self, size: float) -> bool:
        """Whether a measured ``size`` is inside the ball (up to float rounding)."""
        return size <= self.epsilon + 1e-6

    def size_text(self, size: float) -> str:
        """A ``size``, as ``size`` measures it, for people: ``9.00/255``, ``2 pixels``."""
        if self.norm == "l0":
            return f"{size:g} pixel{'s' * (size != 1)}"
        return f"{LEVELS * size:.2f}/255"

    def __str__(self) -> str:
        if self.norm == "unbounded":
            return "unbounded"
        allowed = self.size_text(self.epsilon) if self.norm == "l0" else f"{LEVELS * self.epsilon:g}/255"
        return f"{allowed} ({self.norm})"
