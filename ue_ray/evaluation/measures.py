"""What victims reached, in numbers: means over seeds, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev
from typing import Any

import numpy as np

Run = Mapping[str, Any]  # what came of one victim: an entry of results.json
Runs = Mapping[str, Sequence[Run]]  # by what the victims were trained on, one a seed
Points = list[tuple[float, float]]

TRAIN_SETS = ("clean", "control", "protected")


@dataclass(frozen=True)
class Estimate:
    """The mean over seeds and the sample standard deviation, None for one seed."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        return cls(fmean(values), stdev(values) if len(values) > 1 else None)

    def __str__(self) -> str:
        """In per cent: ``10.4`` or ``10.4 ± 0.6``."""
        return percent(self.mean) + (f" ± {percent(self.std)}" if self.std is not None else "")

    @property
    def unscaled(self) -> str:
        """As it is: ``0.104`` or ``0.104 ± 0.006``."""
        return f"{self.mean:.3f}" + (f" ± {self.std:.3f}" if self.std is not None else "")


def percent(fraction: float) -> str:
    """``0.1038`` -> ``10.4``."""
    return f"{100 * fraction:.1f}"


def chance_of(runs: Iterable[Run]) -> float:
    """Returns the accuracy of a victim that has learnt nothing and always names the largest class of the test set.

    Of several test sets: the highest. 0 of no runs.
    """
    return max((run["chance"] for run in runs), default=0.0)


def chance_percent(chance: float) -> str:
    """``0.1`` -> ``10``, ``0.015`` -> ``1.5``."""
    return f"{100 * chance:.3g}"


def levels(value: float) -> str:
    """A change in [0, 1] units in 8-bit levels: ``8/255``."""
    return f"{255 * value:.3g}/255"


def span(numbers: Iterable[int]) -> str:
    """``3``, or ``2-5`` where they differ."""
    several = sorted(set(numbers))
    return "-".join(map(str, dict.fromkeys((several[0], several[-1]))))


@dataclass(frozen=True)
class SetSummary:
    """All seeds of one victim on one train set; accuracies in [0, 1].

    ``balanced``: the final one, as the mean over classes. ``worst`` and ``worst_peak``: the highest of any seed, what
    protects least. ``peak_epochs``: as by ``span``. ``recognised``: the most classes that any seed recognises
    (``victim.informedness``). ``seconds``: of all seeds together.
    """

    runs: tuple[Run, ...]
    final: Estimate
    balanced: Estimate
    peak: Estimate
    train: Estimate
    worst: float
    worst_peak: float
    recognised: int
    peak_epochs: str
    seconds: float

    @classmethod
    def of(cls, runs: Sequence[Run]) -> SetSummary:
        names = ("final_test_accuracy", "balanced_test_accuracy", "peak_test_accuracy", "train_accuracy")
        final, balanced, peak, train = (Estimate.of([run[name] for run in runs]) for name in names)
        epochs = span(run["peak_epoch"] for run in runs)
        worst, worst_peak, recognised = (
            max(run[name] for run in runs)
            for name in ("final_test_accuracy", "peak_test_accuracy", "recognised_classes")
        )
        seconds = float(sum(run["seconds"] for run in runs))
        return cls(tuple(runs), final, balanced, peak, train, worst, worst_peak, recognised, epochs, seconds)

    @property
    def seeds(self) -> int:
        return len(self.runs)

    @property
    def cells(self) -> tuple[str, ...]:
        """As tables show it, without its name."""
        worst = f"{percent(self.worst)} / {percent(self.worst_peak)}"
        numbers = (
            self.final, self.balanced, self.peak, self.peak_epochs, worst, self.recognised, self.train, self.seeds,
        )  # fmt: skip
        return *map(str, numbers), f"{self.seconds:,.0f}"


@dataclass(frozen=True)
class SummaryRow:
    """One victim under one countermeasure; ``sets`` by train set, in the order clean, control, protected."""

    victim: str
    countermeasure: str
    sets: Mapping[str, SetSummary]

    @property
    def label(self) -> str:
        return self.victim if self.countermeasure == "none" else f"{self.victim} with {self.countermeasure}"


def summarise(runs: Iterable[Run]) -> list[SummaryRow]:
    """One row per (victim, countermeasure), in the order of their first runs."""
    groups: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in runs:
        sets = groups.setdefault((run["victim"], run["countermeasure"]), {name: [] for name in TRAIN_SETS})
        sets[run["train_set"]].append(run)
    return [
        SummaryRow(victim, countermeasure, {name: SetSummary.of(seeds) for name, seeds in sets.items() if seeds})
        for (victim, countermeasure), sets in groups.items()
    ]


def mean_curve(runs: Iterable[Run], measure: str) -> Points:
    """``(epoch, mean over seeds)`` of a measure of the learning curves, by epoch."""
    points = sorted((point["epoch"], point[measure]) for run in runs for point in run["curve"])
    return [(epoch, fmean(value for _, value in group)) for epoch, group in groupby(points, key=lambda point: point[0])]


def mean_roc(curves: Sequence[Points]) -> Points:
    """The mean true positive rate at each false positive rate of any of ``curves``, all from (0, 0) to (1, 1)."""
    if len(curves) == 1:
        return [(false, true) for false, true in curves[0]]
    rates = sorted({false for curve in curves for false, _ in curve})
    means = np.mean([np.interp(rates, *np.array(curve).T) for curve in curves], axis=0)
    return [(0.0, 0.0), *zip(rates, means.tolist(), strict=True)]


def summed_confusion(runs: Iterable[Run]) -> list[list[int]]:
    """Over seeds: rows are the true classes, columns what their images were taken for. Empty where none was kept."""
    kept = [run["confusion"] for run in runs if run.get("confusion")]
    return [[sum(counts) for counts in zip(*rows, strict=True)] for rows in zip(*kept, strict=True)]


def verified(seeds: Iterable[Run]) -> dict[str, list[Mapping[str, Any]]]:
    """By groups of people: how the seeds verified pairs of them."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for run in seeds:
        for people, verification in run.get("verification", {}).items():
            groups.setdefault(people, []).append(verification)
    return groups


VERIFICATION_HEADING = ("trained on", "people", "recognised, %", "pairs", "AUC", "verified, %")


def verification_rows(runs: Runs) -> list[tuple[str, ...]]:
    """As under ``VERIFICATION_HEADING``: recognition and AUC over seeds; verification's accuracy over ten
    folds, of several seeds the mean."""
    rows: list[tuple[str, ...]] = []
    for name, seeds in runs.items():
        for people, kept in verified(seeds).items():
            recognised, area = (Estimate.of([each[key] for each in kept]) for key in ("recognised", "auc"))
            accuracy = Estimate(*(fmean(each[key] for each in kept) for key in ("accuracy", "spread")))
            rows.append((name, people, str(recognised), f"{kept[0]['pairs']:,}", area.unscaled, str(accuracy)))
    return rows
