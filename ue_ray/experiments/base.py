"""What an experiment of the paper is: noises to craft, victims to train, and claims about their accuracies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from statistics import fmean, variance
from typing import Any, ClassVar, Literal

from ue_ray.evaluation import measures

CLEAN = "clean"


@dataclass(frozen=True)
class Recipe:
    """A noise for all training images. ``options``: those of ``protect`` that it is crafted with.

    ``other``: it is crafted on the other data set; each class of the images gets the noise of one of its classes.
    """

    name: str
    options: Mapping[str, Any]
    other: bool = False


@dataclass(frozen=True)
class Mix:
    """A training set: which images are in it, and which noise each carries.

    ``fraction`` of each class (of ``classes``, if only some are protected) carries one of ``noises``, drawn at random
    if there are several, and the noise ``added`` on top. ``positive``: only the half of the noise that makes pixels
    brighter; the authors' loader drops the other half. ``part``: whether all images are trained on, only the protected
    ones, or only the clean ones. ``joined``: the images are added to the other data set, as classes of their own.
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
        """The names of the noises that are needed to make it."""
        return [*self.noises, *([self.added] if self.added is not None else [])]

    @property
    def of_test(self) -> Mix:
        """The test set of a network that is trained on this set: clean images of the same classes."""
        return replace(self, noises=(), added=None, positive=False, fraction=1.0) if self.joined else Mix()

    @property
    def name(self) -> str:
        """A name that differs for different training sets, such as ``error-minimizing-class-wise-80%-clean``."""
        parts = ["-or-".join(self.noises) or CLEAN]
        if self.added is not None:
            parts.append(f"plus-{self.added}")
        if self.positive:
            parts.append("positive")
        if self.fraction < 1:
            parts.append(f"{100 * self.fraction:g}%")
        if self.classes is not None:
            parts.append(f"classes-{_shortened(self.classes)}")
        if self.part != "all":
            parts.append(self.part)
        if self.joined:
            parts.append("joined")
        return "-".join(parts)


def _shortened(classes: tuple[int, ...]) -> str:
    """Returns ``0-4-7``, or ``0-to-57-by-3`` for a long even row: the name is part of a file's name."""
    first, last = classes[0], classes[-1]
    step = classes[1] - first if len(classes) > 4 else 0
    if step > 0 and classes == tuple(range(first, last + 1, step)):
        return f"{first}-to-{last}-by-{step}"
    return "-".join(map(str, classes))


@dataclass(frozen=True)
class Arm:
    """One victim of an experiment. ``label`` names its row in the report; ``victim`` None: the network of the scale.

    ``trigger``: the class-wise noise that the test images carry. Each image carries that of another class, and counts
    as right if it is taken for that class. ``pair_classes``: the people whose test images, and those of all others, are
    judged in pairs.
    """

    label: str
    mix: Mix
    countermeasure: str = "none"
    victim: str | None = None
    trigger: str | None = None
    pair_classes: tuple[int, ...] = ()


def clean_labels(arms: Sequence[Arm]) -> list[str]:
    """Returns the labels of the victims that are trained and tested on clean images: those without a countermeasure, if
    there are such."""
    clean = [arm for arm in arms if arm.mix == Mix() and arm.trigger is None]
    return [arm.label for arm in clean if arm.countermeasure == "none"] or [arm.label for arm in clean]


@dataclass(frozen=True)
class Scale:
    """Which networks an experiment uses, and how they are trained: by which of ``RECIPES``, and with which seeds."""

    surrogate: str
    victim: str
    victims: tuple[str, ...]
    face_victim: str
    epochs: int
    batch_size: int
    learning_rate: float
    recipe: str
    seeds: tuple[int, ...]


SMALL_VICTIMS = ("resnet9", "inception-resnet-small")
PAPER_VICTIMS = ("resnet18", "vgg11", "resnet50", "densenet121")  # claims are checked on the first
WIDE_VICTIMS = ("resnet9-wide", "inception-resnet-small")
# medium: a clean victim has 88.4 % after 12 epochs on all of CIFAR-10 and 90.1 after 30
# (benchmarks/results/gpu/dependability.json, resnet9-wide); on CIFAR-100 none has been trained so.
SCALES = {
    "small": Scale("resnet9", "resnet9", SMALL_VICTIMS, SMALL_VICTIMS[-1], 12, 128, 0.12, "fast", (0, 1, 2)),
    "medium": Scale("resnet9", "resnet9-wide", WIDE_VICTIMS, WIDE_VICTIMS[-1], 30, 128, 0.12, "fast", (0,)),
    "paper": Scale("resnet18", "resnet18", PAPER_VICTIMS, "inception-resnet", 60, 128, 0.025, "paper", (0,)),
}


@dataclass(frozen=True)
class Result:
    """What an arm reached, the means over seeds, in [0, 1].

    ``recall``: the share of the test images of each class that is recognised; ``auc``: of pairs, by group of people.
    ``seeds``: the same of each seed alone.
    """

    final: float
    peak: float
    recall: Sequence[float] = ()
    auc: Mapping[str, float] = field(default_factory=dict)
    seeds: Sequence[Result] = field(default=(), compare=False)

    def each(self, measure: Callable[[Result], float]) -> list[float]:
        """Returns ``measure`` of each seed alone."""
        return [measure(seed) for seed in self.seeds]


SHOWS, DOES_NOT, WITHIN = "shows", "does not", "within the spread"


@dataclass(frozen=True)
class Claim:
    """What the paper states, with the figures found here. ``answer``: ``SHOWS``, ``DOES_NOT`` or ``WITHIN``."""

    text: str
    answer: str


def judge(margin: float, *sides: Sequence[float]) -> str:
    """Returns the answer to a claim that is met by ``margin``, the difference of means less what the claim demands.

    ``sides``: the values of each side of the comparison, one a seed. Within the spread: ``margin``, right or wrong, is
    smaller than the standard deviation of the seeds, pooled over the sides (the root of the mean of their sample
    variances). One seed has no spread: then the sign of ``margin`` decides.
    """
    if all(len(values) > 1 for values in sides) and abs(margin) < sqrt(fmean(map(variance, sides))):
        return WITHIN
    return SHOWS if margin >= 0 else DOES_NOT


def weakest(*answers: str) -> str:
    """Returns the answer to a claim that has several parts."""
    return next(answer for answer in (DOES_NOT, WITHIN, SHOWS) if answer in answers)


def answer_of(claim: Mapping[str, Any]) -> str:
    """Returns the answer to a claim of results.json; records from before 2026-11-27 have only yes and no."""
    return str(claim["answer"]) if "answer" in claim else SHOWS if claim["holds"] else DOES_NOT


class Experiment(ABC):
    """An experiment of the paper.

    ``figure``: where it stands in the paper; ``accuracies``: what is measured of the victims; ``paper``: the paper's
    figures in per cent, by the labels of the arms.
    """

    figure: ClassVar[str]
    accuracies: ClassVar[str] = "Accuracy on clean test images"
    paper: ClassVar[Mapping[str, float]] = {}

    @abstractmethod
    def recipes(self) -> list[Recipe]:
        """Returns the noises that its arms name."""

    @abstractmethod
    def arms(self, scale: Scale) -> list[Arm]:
        """Returns the victims to train."""

    @abstractmethod
    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        """Checks what the paper states. ``results``: by the labels of the arms."""


def percent(share: float) -> str:
    """``0.1038`` -> ``10.4 %``."""
    return f"{measures.percent(share)} %"


def _final(result: Result) -> float:
    return result.final


def lower(results: Mapping[str, Result], left: str, right: str, by: float = 0.0) -> Claim:
    """Claims that the final accuracy of ``left`` is lower than that of ``right``, by at least ``by``."""
    low, high = results[left].final, results[right].final
    margin = f" by {100 * by:.0f} points" if by else ""
    sides = (results[label].each(_final) for label in (left, right))
    return Claim(
        f"{left} ({percent(low)}) is below {right} ({percent(high)}){margin}", judge(high - low - max(by, 1e-9), *sides)
    )


def close(results: Mapping[str, Result], left: str, right: str, within: float) -> Claim:
    """Claims that the final accuracies differ by at most ``within``."""
    finals = results[left].final, results[right].final
    text = f"{left} ({percent(finals[0])}) and {right} ({percent(finals[1])}) are within {100 * within:.0f} points"
    sides = (results[label].each(_final) for label in (left, right))
    return Claim(text, judge(within - abs(finals[0] - finals[1]), *sides))


def unlearnt(
    results: Mapping[str, Result], label: str, clean: str, classes: Sequence[int], by: float = 0.3, others: float = 0.1
) -> Claim:
    """Claims that ``label`` recognises at least ``by`` less of ``classes`` than the victim ``clean`` does, and at most
    ``others`` less of the other classes."""
    arms = results[label], results[clean]
    rest = [k for k in range(len(arms[1].recall)) if k not in classes]

    def of_protected(result: Result) -> float:
        return fmean(result.recall[k] for k in classes)

    def of_others(result: Result) -> float:
        return fmean(result.recall[k] for k in rest)

    protected, protected_clean = map(of_protected, arms)
    other, other_clean = map(of_others, arms)
    return Claim(
        f"{label}: of the protected classes {percent(protected)} is recognised (clean {percent(protected_clean)}), of "
        f"the others {percent(other)} (clean {percent(other_clean)})",
        weakest(
            judge(protected_clean - protected - by, *(arm.each(of_protected) for arm in arms)),
            judge(others - (other_clean - other), *(arm.each(of_others) for arm in arms)),
        ),
    )


FORMS = ("class-wise", "sample-wise")
METHODS = ("random", "error-maximizing", "error-minimizing")


def noise(method: str, form: str, **options: Any) -> Recipe:
    """Returns the recipe of a noise; ``form`` is its granularity, ``options`` are more options of ``protect``."""
    name = "-".join([method, form, *(str(value).replace("/", "of") for value in options.values())])
    return Recipe(name, {"method": method, "granularity": form, **options})


class BothForms(Experiment):
    """An experiment on error-minimizing noise, class-wise and sample-wise."""

    def recipes(self) -> list[Recipe]:
        return [noise("error-minimizing", form) for form in FORMS]

    def mixes(self, **how: Any) -> dict[str, Mix]:
        """Returns a training set with the noise of each form, by form; ``how``: other fields of ``Mix``."""
        return {form: Mix((recipe.name,), **how) for form, recipe in zip(FORMS, self.recipes(), strict=True)}
