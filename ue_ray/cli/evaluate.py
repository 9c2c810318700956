"""``ue-ray evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ue_ray.cli.command import Command, on_ray
from ue_ray.evaluation.options import EvaluateOptions

if TYPE_CHECKING:
    from ue_ray.evaluation.outcome import Evaluation


def run(clean: str, protected: str, test: str, output: str, **options: Any) -> Evaluation:
    """Prints the table of the evaluation."""
    from ue_ray.evaluation.job import resolve

    job = resolve({"clean": clean, "protected": protected, "test": test}, output, options)
    evaluation: Evaluation = on_ray("evaluate").carry_out(job)
    print(evaluation, flush=True)
    return evaluation


def command() -> Command:
    return Command(
        required={
            "clean": "The images as they were before protection.",
            "protected": "An output of protect, or the same images protected by anything else.",
            "test": "Clean images that nothing was trained on.",
            "output": "Where to write results.json, report.html and, as it is trained, each victim's runs/*.json: the "
            "same command again trains only those that are not there.",
        },
        sections={"Evaluation": EvaluateOptions},
        run=run,
        unfinished="nothing was committed",
        example="ue-ray evaluate --clean mnist5k --protected protected --test mnist5k-test --output report",
    )
