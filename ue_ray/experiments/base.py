"""What an experiment of the paper is: noises to craft, victims to train, and what their accuracies must show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from ue_ray.evaluation import measures

CLEAN = "clean"


@dataclass(frozen=True)
class Recipe:
    """A noise for all training images: its name, and what it is crafted with (fields of ``ProtectConfig``).

    ``other``: it is crafted on the other data set, and a class of the images gets that of one of its classes.
    """

    name: str
    options: Mapping[str, Any]
    other: bool = False


@dataclass(frozen=True)
class Mix:
    """A training set: which of the images are in it, and which noise each carries.

    Of each class (of ``classes``, where only some are protected) a ``fraction`` carries one of ``noises``, drawn at
    random where there are several, and the noise ``added`` on top. ``positive``: only the half of it that makes pixels
    brighter, as by the authors' loader, which drops the other. ``part``: all images are trained on, or only those that
    are protected, or not. ``joined``: they are added to the other data set, as classes of their own.
    """

    noises: tuple[str, ...] = ()
    added: str | None = None
    positive: bool = False
    fraction: float = 1.0
    classes: tuple[int, ...] | None = None
    part: Literal["all", "clean", "protected"] = "all"
    joined: bool = False

    @property
    def needs(self) -> list[str]:
        """The noises that it is put together of."""
        return [*self.noises, *([self.added] if self.added is not None else [])]

    @property
    def of_test(self) -> Mix:
        """What a network trained on this set is tested on: clean images of the same classes."""
        return replace(self, noises=(), added=None, positive=False, fraction=1.0) if self.joined else Mix()

    @property
    def name(self) -> str:
        """Another for every other training set, as in ``error-minimizing-class-wise-80%-clean``."""
        parts = ["-or-".join(self.noises) or CLEAN]
        if self.added is not None:
            parts.append(f"plus-{self.added}")
        if self.positive:
            parts.append("positive")
        if self.fraction < 1:
            parts.append(f"{100 * self.fraction:g}%")
        if self.classes is not None:
            parts.append(f"classes-{_listed(self.classes)}")
        if self.part != "all":
            parts.append(self.part)
        if self.joined:
            parts.append("joined")
        return "-".join(parts)


def _listed(classes: tuple[int, ...]) -> str:
    """``0-4-7``; of a long even row its ends, since the name is a file's, too: ``0-to-57-by-3``."""
    first, last = classes[0], classes[-1]
    step = classes[1] - first if len(classes) > 4 else 0
    if step > 0 and classes == tuple(range(first, last + 1, step)):
        return f"{first}-to-{last}-by-{step}"
    return "-".join(map(str, classes))


@dataclass(frozen=True)
class Arm:
    """One victim of an experiment; ``label`` names its row in the report. No ``victim``: the scale's.

    ``trigger``: the class-wise noise that test images carry, each that of another class, for which it is then to be
    taken. ``verified``: the classes (people) within which, and without which, pairs of test images are verified.
    """

    label: str
    mix: Mix
    countermeasure: str = "none"
    victim: str | None = None
    trigger: str | None = None
    verified: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scale:
    """Which networks, and how long they train. Batches and learning rates: the paper's at its own scale."""

    surrogate: str
    victim: str
    victims: tuple[str, ...]
    face_victim: str
    epochs: int
    batch_size: int
    learning_rate: float


PAPER_VICTIMS = ("resnet18", "vgg11", "resnet50", "densenet121")  # the one most is asked of first
SCALES = {
    "small": Scale("resnet9", "resnet9", ("resnet9", "inception-resnet-small"), "inception-resnet-small", 10, 64, 0.05),
    "paper": Scale("resnet18", "resnet18", PAPER_VICTIMS, "inception-resnet", 60, 128, 0.025),
}


@dataclass(frozen=True)
class Result:
    """Of an arm, means over seeds, in [0, 1]. ``recall``: of each class, the share of its test images recognised;
    ``auc``: of the verification of pairs, by group of people."""

    final: float
    peak: float
    recall: Sequence[float] = ()
    auc: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """What the paper says, with the figures that it was held against here."""

    text: str
    holds: bool


class Experiment(ABC):
    """``figure``: where in the paper; ``accuracies``: what its victims' are; ``paper``: the paper's, in per cent by the
    arms' labels, where it has them."""

    figure: ClassVar[str]
    accuracies: ClassVar[str] = "Accuracy on clean test images"
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
    return f"{measures.percent(share)} %"


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


def unlearnt(
    results: Mapping[str, Result], label: str, clean: str, classes: Sequence[int], by: float = 0.3, others: float = 0.1
) -> Claim:
    """Of ``classes`` at least ``by`` less is recognised than by the victim ``clean``, of others at most ``others``."""
    recalls = results[label].recall, results[clean].recall
    rest = [k for k in range(len(recalls[1])) if k not in classes]
    (mine, theirs), (other, their_other) = (
        [sum(recall[k] for k in chosen) / len(chosen) for recall in recalls] for chosen in (classes, rest)
    )
    return Claim(
        f"{label}: of the protected classes {percent(mine)} is recognised (clean {percent(theirs)}), of the others "
        f"{percent(other)} (clean {percent(their_other)})",
        theirs - mine >= by and their_other - other <= others,
    )


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
