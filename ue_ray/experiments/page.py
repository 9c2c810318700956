"""An experiment's outcome beside the paper's figures: one HTML page that holds all it shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ue_ray.evaluation.measures import chance_of, chance_percent
from ue_ray.evaluation.report.charts import learning_curves, verifications
from ue_ray.evaluation.report.page import render
from ue_ray.evaluation.report.tables import Facts, confusion_matrices, origin_facts
from ue_ray.experiments.base import CLEAN, DOES_NOT, SHOWS, WITHIN, Experiment, answer_of
from ue_ray.experiments.report import HEADING, outcome

COLOURS = 7  # of arms, in the style sheet
MOST_LINES = COLOURS + 1  # in a chart: theirs, and clean
_STYLES = {SHOWS: "holds", DOES_NOT: "fails", WITHIN: "undecided"}  # classes of the style sheet
SAID_ELSEWHERE = ("experiment", "output", "data")  # of the settings


def experiment_page(results: Mapping[str, Any]) -> str:
    """``results``: as in results.json."""
    runs, class_names = results["runs"], results.get("class_names", [])
    accuracies = results.get("accuracies", Experiment.accuracies)
    chance = chance_of(run for seeds in runs.values() for run in seeds)
    groups = grouped(list(runs), results["experiment"])
    chosen = {title: {label: runs[label] for label in labels} for title, labels in groups.items()}
    claims = [(_STYLES[answer_of(claim)], answer_of(claim), claim["text"]) for claim in results["claims"]]
    answers = [answer for _, answer, _ in claims]
    within = f"; {answers.count(WITHIN)} are {WITHIN}" if WITHIN in answers else ""
    return render(
        "experiment.html.jinja",
        kind=f"{results['experiment']}: {results['figure']}",
        heading=f"{answers.count(SHOWS)} of {len(claims)} orderings that the paper states show here{within}.",
        claims=claims,
        results=results,
        accuracies=accuracies,
        outcome_heading=HEADING,
        outcome=outcome(runs, results["paper"]),
        chance=chance_percent(chance),
        curves=[
            learning_curves(title, {k: runs[k] for k in labels}, tones(labels), accuracies.split(",")[0], chance)
            for title, labels in compared(groups, runs).items()
        ],
        confusion=confusion_matrices(chosen, class_names),
        verifications=verifications({title: (runs_of, tones(runs_of)) for title, runs_of in chosen.items()}),
        origin=made_of(results),
    )


def made_of(results: Mapping[str, Any]) -> Facts:
    """How the results of an experiment were made: data, settings, machine, versions."""
    config, images = results["config"], results["images"]
    return origin_facts(
        results,
        data=[config["data"], f"{images['train']:,} training images", f"{images['test']:,} test images"],
        settings=[
            f"{name.replace('_', ' ')} {value}"
            for name, value in config.items()
            if name not in SAID_ELSEWHERE and value not in (None, "")
        ],
    )


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
    head = [CLEAN] if CLEAN in labels else []
    headed = {title: [*head, *(label for label in group if label not in head)] for title, group in groups.items()}
    return {title: group if len(group) <= MOST_LINES else group[1:] for title, group in headed.items() if group != head}


def tones(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each, a class of the style sheet: that of clean for the first that is."""
    chosen: dict[str, str] = {}
    for label in labels:
        clean = label.startswith(CLEAN) and "clean" not in chosen.values()
        chosen[label] = "clean" if clean else f"arm{len(set(chosen.values()) - {'clean'}) % COLOURS + 1}"
    return chosen
