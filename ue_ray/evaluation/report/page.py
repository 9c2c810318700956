"""An evaluation's results as one HTML page that holds all it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ue_ray.evaluation.gallery import GalleryItem
from ue_ray.evaluation.measures import TRAIN_SETS, chance_percent, summarise
from ue_ray.evaluation.report.charts import learning_curves, verifications
from ue_ray.evaluation.report.confusion import confusion_matrices
from ue_ray.evaluation.report.facts import data_facts, origin_facts
from ue_ray.evaluation.report.headline import comparison, headline, worst_case
from ue_ray.evaluation.report.pictures import gallery as gallery_of
from ue_ray.evaluation.report.render import render

TONES = {name: name for name in TRAIN_SETS}  # colours of the style sheet


def html_page(results: Mapping[str, Any], gallery: Sequence[GalleryItem]) -> str:
    """The whole report as one HTML document that refers to nothing outside itself. ``results``: as in results.json."""
    rows, data = summarise(results["runs"]), results["data"]
    chance = 1 / data["clean"]["classes"]
    accuracy, runs_of = "clean test accuracy", {row.label: row.runs for row in rows}
    confused = {
        label: {name: seeds for name, seeds in runs.items() if name != "control"} for label, runs in runs_of.items()
    }
    return render(
        "evaluation.html.jinja",
        kind="Protection report",
        heading=headline(results),
        guards=results["guards"],
        summaries=rows,
        comparison=comparison(rows),
        worst_case=worst_case(rows),
        chance=chance_percent(chance),
        curves=[
            learning_curves(label, runs, TONES, accuracy, chance, ringed=("protected",))
            for label, runs in runs_of.items()
        ],
        confusion=confusion_matrices(confused, data["clean"]["class_names"]),
        verifications=verifications({label: (runs, TONES) for label, runs in runs_of.items()}),
        gallery=gallery_of(gallery, data["protected"]),
        data=data_facts(data),
        origin=origin_facts(results, created=[results["created"]]),
        command=results["command"],
    )
