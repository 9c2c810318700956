"""An experiment's outcome beside the paper's figures: one HTML page that holds all it shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ue_ray.evaluation.measures import Runs, chance_percent
from ue_ray.evaluation.report.charts import learning_curves, verifications
from ue_ray.evaluation.report.confusion import confusion_matrices
from ue_ray.evaluation.report.facts import origin_facts
from ue_ray.evaluation.report.render import render
from ue_ray.experiments.base import CLEAN, Experiment
from ue_ray.experiments.report import HEADING, outcome

COLOURS = 7  # of arms, in the style sheet
MOST_LINES = COLOURS + 1  # in a chart: theirs, and clean
SAID_ELSEWHERE = ("experiment", "output", "data")  # of the settings


def experiment_page(results: Mapping[str, Any]) -> str:
    """``results``: as in results.json."""
    runs, class_names = results["runs"], results.get("class_names", [])
    accuracies = results.get("accuracies", Experiment.accuracies)
    groups = grouped(list(runs), results["experiment"])
    chance = 1 / len(class_names) if class_names else None
    return render(
        "experiment.html.jinja",
        kind=f"{results['experiment']}: {results['figure']}",
        heading=headline(results["claims"]),
        accuracies=accuracies,
        outcome_heading=HEADING,
        outcome=outcome(runs, results["paper"]),
        claims=results["claims"],
        chance=None if chance is None else chance_percent(chance),
        curves=[
            learning_curves(title, *_coloured(runs, labels), accuracies.split(",")[0], chance)
            for title, labels in compared(groups, runs).items()
        ],
        confusion=confusion_matrices({title: _chosen(runs, labels) for title, labels in groups.items()}, class_names),
        verifications=verifications({title: _coloured(runs, labels) for title, labels in groups.items()}),
        origin=origin_facts(results, data=_data(results), settings=_settings(results["config"])),
        command=results["command"],
    )


def headline(claims: Sequence[Mapping[str, Any]]) -> str:
    shown = sum(claim["holds"] for claim in claims)
    return f"{shown} of {len(claims)} orderings that the paper states show here."


def grouped(labels: Sequence[str], whole: str) -> dict[str, list[str]]:
    """Labels to be shown together, at most ``MOST_LINES``, by a title: all, as ``whole``; or by what stands behind
    their comma, as in ``clean, vgg11``; or by what they begin with, as in ``class-wise 20 %``; or as they come."""
    endings = {label: label.partition(", ")[2] or whole for label in labels}
    beginnings = {label: re.split(r", | \d", label)[0] for label in labels}
    for title_of in (dict.fromkeys(labels, whole), endings, beginnings):
        groups: dict[str, list[str]] = {}
        for label in labels:
            groups.setdefault(title_of[label], []).append(label)
        if len(groups) < max(2, len(labels)) and max(map(len, groups.values())) <= MOST_LINES:
            return groups
    starts = range(0, len(labels), MOST_LINES)
    return {f"{whole}, {k}": list(labels[start : start + MOST_LINES]) for k, start in enumerate(starts, 1)}


def compared(groups: Mapping[str, Sequence[str]], labels: Iterable[str]) -> dict[str, list[str]]:
    """``groups`` with clean at the head of each, where it is one of ``labels`` and there is room."""
    if CLEAN not in labels:
        return {title: list(of) for title, of in groups.items()}
    found = {title: [CLEAN, *(label for label in of if label != CLEAN)] for title, of in groups.items()}
    return {title: of if len(of) <= MOST_LINES else of[1:] for title, of in found.items() if len(of) > 1}


def tones(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each, a class of the style sheet: that of clean for the first that is."""
    found: dict[str, str] = {}
    for label in labels:
        clean = label.startswith(CLEAN) and "clean" not in found.values()
        found[label] = "clean" if clean else f"arm{len(set(found.values()) - {'clean'}) % COLOURS + 1}"
    return found


def _chosen(runs: Runs, labels: Iterable[str]) -> Runs:
    return {label: runs[label] for label in labels}


def _coloured(runs: Runs, labels: Sequence[str]) -> tuple[Runs, dict[str, str]]:
    return _chosen(runs, labels), tones(labels)


def _data(results: Mapping[str, Any]) -> list[str]:
    images = results["images"]
    return [results["config"]["data"], f"{images['train']:,} training images", f"{images['test']:,} test images"]


def _settings(config: Mapping[str, Any]) -> list[str]:
    return [
        f"{name.replace('_', ' ')} {value}"
        for name, value in config.items()
        if name not in SAID_ELSEWHERE and value not in (None, "")
    ]
