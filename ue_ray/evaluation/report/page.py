"""Renders reports as HTML: pages that hold all they show, and escape it; that of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ue_ray.evaluation.gallery import CROP, GalleryItem
from ue_ray.evaluation.measures import TRAIN_SETS, chance_of, chance_percent, summarise
from ue_ray.evaluation.report.charts import learning_curves, verifications
from ue_ray.evaluation.report.console import comparison, headline, worst_case
from ue_ray.evaluation.report.pictures import bound_of, gallery_rows
from ue_ray.evaluation.report.tables import confusion_matrices, data_facts, origin_facts
from ue_ray.evaluation.verdict import bounds, verdicts

TONES = {name: name for name in TRAIN_SETS}  # colours of the style sheet


def _unbroken(shown: Any) -> Any:
    """Keeps a number and its per cent sign on one line. Markup stays as it is."""
    return shown.replace(" %", "\u00a0%") if type(shown) is str else shown


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    finalize=_unbroken,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **shown: Any) -> str:
    """A whole document. ``template``: a file of ``templates/``; ``shown``: its variables."""
    return TEMPLATES.get_template(template).render(shown)


def html_page(results: Mapping[str, Any], gallery: Sequence[GalleryItem]) -> str:
    """A document that refers to nothing outside itself. ``results``: as in results.json."""
    rows, data = summarise(results["runs"]), results["data"]
    runs_of = {row.label: {name: summary.runs for name, summary in row.sets.items()} for row in rows}
    chance = chance_of(results["runs"])
    confused = {title: {k: runs[k] for k in runs if k != "control"} for title, runs in runs_of.items()}
    return render(
        "evaluation.html.jinja",
        kind="Protection report",
        heading=headline(results),
        results=results,
        summary=rows,
        comparison=comparison(rows),
        worst_case=worst_case(rows),
        verdicts=verdicts(results),
        bounds=bounds(results),
        chance=chance_percent(chance),
        curves=[
            learning_curves(title, runs, TONES, "clean test accuracy", chance, ringed=("protected",))
            for title, runs in runs_of.items()
        ],
        confusion=confusion_matrices(confused, data["clean"]["class_names"]),
        verifications=verifications({title: (runs, TONES) for title, runs in runs_of.items()}),
        gallery=gallery_rows(gallery, bound_of(gallery, data["protected"])),
        crop=CROP,
        data=data_facts(data),
        origin=origin_facts(results, created=[results["created"]]),
    )
