"""An experiment's outcome beside the paper's figures: one HTML page that holds all it shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ue_ray.evaluation.measures import Runs
from ue_ray.evaluation.report.figures import confusion_section, learning_curves, origin_section, verification_section
from ue_ray.evaluation.report.html import Html, caption, element, page, section, table
from ue_ray.experiments.base import CLEAN, Experiment
from ue_ray.experiments.report import HEADING, outcome

COLOURS = 7  # of arms, in the style sheet
MOST_LINES = COLOURS + 1  # in a chart: theirs, and clean
SAID_ELSEWHERE = ("experiment", "output", "data")  # of the settings


def experiment_page(results: Mapping[str, Any]) -> str:
    """``results``: as in results.json."""
    runs, class_names = results["runs"], results.get("class_names", [])
    accuracy = results.get("accuracies", Experiment.accuracies)
    groups = grouped(list(runs), results["experiment"])
    chance = 1 / len(class_names) if class_names else None
    table_words = (
        f"{accuracy} in per cent, after the last epoch and at the best one; ± over seeds where there are several."
    )
    charts = (
        learning_curves(title, *_coloured(runs, labels), accuracy.split(",")[0], chance)
        for title, labels in compared(groups, runs).items()
    )
    chart_words = "Lines are means over seeds, thin ones single seeds. "
    if chance:
        chart_words += f"The dashed line is chance, {100 * chance:.3g} %."
    sections = (
        section("Beside the paper", table(HEADING, outcome(runs, results["paper"])), caption(table_words)),
        section("What must show", _claims(results["claims"])),
        section("Learning curves", *charts, caption(chart_words)),
        confusion_section({title: _chosen(runs, labels) for title, labels in groups.items()}, class_names),
        verification_section({title: _coloured(runs, labels) for title, labels in groups.items()}),
        _origin(results),
    )
    return page(f"{results['experiment']}: {results['figure']}", headline(results["claims"]), *sections)


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


def _claims(claims: Iterable[Mapping[str, Any]]) -> Html:
    words = {True: ("yes", "holds"), False: ("no", "fails")}
    marked = ((*words[claim["holds"]], claim["text"]) for claim in claims)
    lines = (element("li", element("b", word), element("span", text), class_=class_) for word, class_, text in marked)
    return element("ul", *lines, class_="claims")


def _origin(results: Mapping[str, Any]) -> Html:
    config, images = results["config"], results["images"]
    given = {name: value for name, value in config.items() if value not in (None, "")}
    settings = [f"{name.replace('_', ' ')} {given[name]}" for name in given if name not in SAID_ELSEWHERE]
    sizes = [f"{images['train']:,} training images", f"{images['test']:,} test images"]
    return origin_section(results, data=[config["data"], *sizes], settings=settings)
