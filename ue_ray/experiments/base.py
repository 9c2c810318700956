"""What an experiment of the paper is: noises to craft, victims to train, and what their accuracies must show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

CLEAN = "clean"


@dataclass(frozen=True)
class Recipe:
    """A noise for all training images: its name, and what it is crafted with (fields of ``ProtectConfig``)."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Mix:
    """A training set: which of the images are in it, and which noise each carries.

    Of each class (of ``classes``, where only some are protected) a ``fraction`` carries one of ``noises``, drawn at
    random where there are several, and the noise ``added`` on top. ``part``: all images are trained on, or only those
    that are protected, or not.
    """

    noises: tuple[str, ...] = ()
    added: str | None = None
    fraction: float = 1.0
    classes: tuple[int, ...] | None = None
    part: Literal["all", "clean", "protected"] = "all"

    @property
    def needs(self) -> list[str]:
        """The noises that it is put together of."""
        return [*self.noises, *([self.added] if self.added is not None else [])]

    @property
    def name(self) -> str:
        """Another for every other training set, as in ``error-minimizing-class-wise-80%-clean``."""
        parts = ["-or-".join(self.noises) or CLEAN]
        if self.added is not None:
            parts.append(f"plus-{self.added}")
        if self.fraction < 1:
            parts.append(f"{100 * self.fraction:g}%")
        if self.classes is not None:
            parts.append("classes-" + "-".join(map(str, self.classes)))
        if self.part != "all":
            parts.append(self.part)
        return "-".join(parts)


@dataclass(frozen=True)
class Arm:
    """One victim of an experiment; ``label`` names its row in the report. No ``victim``: the scale's. ``trigger``: the
    class-wise noise that test images carry, each that of another class, for which it is then to be taken."""

    label: str
    mix: Mix
    countermeasure: str = "none"
    victim: str | None = None
    trigger: str | None = None


@dataclass(frozen=True)
class Scale:
    """Which networks, and how long they train. Batches and learning rates: the paper's at its own scale."""

    surrogate: str
    victim: str
    victims: tuple[str, ...]
    epochs: int
    batch_size: int
    learning_rate: float


SCALES = {
    "small": Scale("resnet9", "resnet9", ("resnet9", "vgg11"), 10, 64, 0.05),
    "paper": Scale("resnet18", "resnet18", ("vgg11", "resnet18", "resnet50", "densenet121"), 60, 128, 0.025),
}


@dataclass(frozen=True)
class Result:
    """Of an arm, means over seeds, in [0, 1]. ``recall``: of each class, the share of its test images recognised."""

    final: float
    peak: float
    recall: Sequence[float] = ()


@dataclass(frozen=True)
class Claim:
    """What the paper says, with the figures that it was held against here."""

    text: str
    holds: bool


class Experiment(ABC):
    """``figure``: where in the paper; ``paper``: its accuracies in per cent by the arms' labels, where it has them."""

    figure: ClassVar[str]
    paper: ClassVar[Mapping[str, float]] = {}

    @abstractmethod
    def recipes(self) -> list[Recipe]:
        """The noises that its arms name."""

    @abstractmethod
    def arms(self, scale: Scale) -> list[Arm]: ...

    @abstractmethod
    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        """The orderings that must show, by the arms' labels."""


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def lower(results: Mapping[str, Result], left: str, right: str, by: float = 0.0) -> Claim:
    """The final accuracy of ``left`` is lower than that of ``right``, by at least so much."""
    one, other = results[left].final, results[right].final
    margin = f" by {100 * by:.0f} points" if by else ""
    return Claim(f"{left} ({percent(one)}) is below {right} ({percent(other)}){margin}", other - one >= max(by, 1e-9))


def close(results: Mapping[str, Result], left: str, right: str, within: float) -> Claim:
    """The final accuracies differ by at most ``within``."""
    one, other = results[left].final, results[right].final
    text = f"{left} ({percent(one)}) and {right} ({percent(other)}) are within {100 * within:.0f} points"
    return Claim(text, abs(one - other) <= within)


FORMS = ("class-wise", "sample-wise")
METHODS = ("random", "error-maximizing", "error-minimizing")


def noise(method: str, form: str, **options: Any) -> Recipe:
    name = "-".join([method, form, *(str(value).replace("/", "of") for value in options.values())])
    return Recipe(name, {"method": method, "granularity": form, **options})


class BothForms(Experiment):
    """On error-minimizing noise, class-wise and sample-wise."""

    def recipes(self) -> list[Recipe]:
        return [noise("error-minimizing", form) for form in FORMS]

    def mixes(self, **how: Any) -> dict[str, Mix]:
        """By form, a training set of that noise; ``how``: the fields of ``Mix``."""
        return {form: Mix((recipe.name,), **how) for form, recipe in zip(FORMS, self.recipes(), strict=True)}
