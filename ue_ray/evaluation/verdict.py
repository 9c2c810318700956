"""Whether the protection holds, in words: judged by the worst victim, and by the class that is recognised most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from ue_ray.evaluation.guards import learnt_too_little, partly_protected
from ue_ray.evaluation.measures import SummaryRow, chance_of, percent, summarise
from ue_ray.evaluation.victim import RECOGNISED
from ue_ray.learning.models.whitening import PREFIX

Word = Literal["protects", "weak", "does not protect", "not judged"]

# Shares of what a clean victim learns above chance, and the informedness of a class; all victims must keep them.
FINAL, PEAK, CLASS = 0.2, 0.5, 0.5
WEAK_FINAL = 0.5
BOUNDS = (
    f"protects: each victim ends at most {FINAL:.0%} of the way from chance to its clean accuracy, peaks at most "
    f"{PEAK:.0%} of it, and no class's informedness is above {CLASS:g}; weak: each ends at most {WEAK_FINAL:.0%} of it"
)
PARTIAL_BOUNDS = (
    f"protects: of the protected classes each victim has at most {FINAL:.0%} of the mean informedness that it has from "
    f"clean images, and of none more than {CLASS:g}; weak: at most {WEAK_FINAL:.0%}"
)
MOST_NAMED = 10


@dataclass(frozen=True)
class Verdict:
    """``word``; ``sentence``: with the figures that it rests on; ``countermeasure``: under which it was judged."""

    countermeasure: str
    word: Word
    sentence: str


def verdicts(results: Mapping[str, Any]) -> list[Verdict]:
    """Returns a verdict for each countermeasure with victims of clean and of protected images, in their order."""
    rows = [row for row in summarise(results["runs"]) if {"clean", "protected"} <= row.sets.keys()]
    names, classes = results["data"]["clean"]["class_names"], results["data"]["clean"]["classes"]
    only = partly_protected(results["data"])
    found = []
    for countermeasure in dict.fromkeys(row.countermeasure for row in rows):
        own = [row for row in rows if row.countermeasure == countermeasure]
        found.append(
            _of_some(countermeasure, own, names, only) if only else _verdict(countermeasure, own, names, classes)
        )
    return found


def _of_some(countermeasure: str, rows: Sequence[SummaryRow], names: Sequence[str], only: Sequence[str]) -> Verdict:
    """Judges by the informedness of the classes ``only`` that are protected: accuracies are of all classes."""
    places = [place for place, name in enumerate(names) if name in set(only)]
    runs = {kind: [run for row in rows for run in row.sets[kind].runs] for kind in ("clean", "protected")}
    if not all(run["informedness"] for of in runs.values() for run in of):
        return Verdict(countermeasure, "not judged", f"of {len(names):,} classes each class's informedness is not kept")
    known = {kind: [[run["informedness"][place] for place in places] for run in of] for kind, of in runs.items()}
    clean, mean = min(map(fmean, known["clean"])), max(map(fmean, known["protected"]))
    most, where = max((values[k], places[k]) for values in known["protected"] for k in range(len(places)))
    word: Word = "does not protect"
    if clean <= RECOGNISED:
        word = "not judged"
    elif mean <= FINAL * clean and most <= CLASS:
        word = "protects"
    elif mean <= WEAK_FINAL * clean:
        word = "weak"
    sentence = (
        f"of {len(runs['protected'])} victims the worst knows the {len(places)} protected classes of {len(names)} with "
        f"a mean informedness of {mean:.2f} (clean {clean:.2f}; most: {names[where]} at {most:.2f}){_one_sided(rows)}"
    )
    return Verdict(countermeasure, word, sentence)


def _verdict(countermeasure: str, rows: Sequence[SummaryRow], names: Sequence[str], classes: int) -> Verdict:
    protected = [row.sets["protected"] for row in rows]
    runs = [run for summary in protected for run in summary.runs]
    known = max(runs, key=lambda run: run["recognised_most_informedness"])
    final = max(_share(row, "final_test_accuracy", classes) for row in rows)
    peak = max(_share(row, "peak_test_accuracy", classes) for row in rows)
    word: Word = "does not protect"
    if final <= FINAL and peak <= PEAK and known["recognised_most_informedness"] <= CLASS:
        word = "protects"
    elif final <= WEAK_FINAL:
        word = "weak"
    clean = min(row.sets["clean"].final.mean for row in rows)
    sentence = (
        f"of {len(runs)} victims the worst ends at {percent(max(of.worst for of in protected))} % and peaks at "
        f"{percent(max(of.worst_peak for of in protected))} % (clean {percent(clean)} %, chance "
        f"{percent(chance_of(runs))} %); {_recognised(runs, names)}{_one_sided(rows)}"
    )
    return Verdict(countermeasure, word, sentence)


def _share(row: SummaryRow, measure: str, classes: int) -> float:
    """Returns how far the worst seed went from chance to what the victim learns from clean images; 1 where that is
    too little to show protection."""
    clean, protected = row.sets["clean"], row.sets["protected"]
    chance = chance_of(clean.runs)
    if learnt_too_little(clean, classes):
        return 1.0
    learnt = max(run[measure] for run in protected.runs) - chance
    return round(learnt / (clean.final.mean - chance), 9)  # so that a bound that is just met holds


def _recognised(runs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Names the classes that any of the victims recognises."""
    known = max(runs, key=lambda run: run["recognised_most_informedness"])
    if known["recognised_most_informedness"] <= RECOGNISED:
        return "no class is recognised"
    highest = f"{known['recognised_most']} at {known['recognised_most_informedness']:.2f}"
    kept = [run["informedness"] for run in runs if run["informedness"]]
    if not kept:
        return f"up to {max(run['recognised_classes'] for run in runs)} classes are recognised, {highest}"
    found = [name for name, values in zip(names, zip(*kept, strict=True), strict=True) if max(values) > RECOGNISED]
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"recognised: {', '.join(found[:MOST_NAMED])}{more} (most: {highest})"


def _one_sided(rows: Sequence[SummaryRow]) -> str:
    whitened = {row.victim.startswith(PREFIX) for row in rows}
    if len(whitened) == 2:
        return ""
    other = rows[0].victim.removeprefix(PREFIX) if True in whitened else PREFIX + rows[0].victim
    return f"; one kind of input layer only: add {other} to --victims"


def bounds(results: Mapping[str, Any]) -> str:
    """Returns what the words of ``verdicts`` mean."""
    return PARTIAL_BOUNDS if partly_protected(results["data"]) else BOUNDS


def as_lines(results: Mapping[str, Any]) -> list[str]:
    """Returns a line for each verdict, and the bounds."""
    lines = [
        f"verdict{'' if each.countermeasure == 'none' else f' with {each.countermeasure}'}: {each.word}: "
        f"{each.sentence}"
        for each in verdicts(results)
    ]
    return [*lines, f"({bounds(results)})"] if lines else []
