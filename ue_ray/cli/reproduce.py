"""``ue-ray reproduce``."""

from __future__ import annotations

from typing import Any

from ue_ray.cli.command import Command, on_ray
from ue_ray.errors import FaultsFound
from ue_ray.experiments import EXPERIMENTS
from ue_ray.experiments.options import ReproduceOptions


def run(experiment: str, output: str, **options: Any) -> None:
    """Prints the report. Raises FaultsFound if an ordering of the paper does not show."""
    from ue_ray.experiments.job import resolve

    job = resolve(experiment, output, options)
    reproduction = on_ray("reproduce").carry_out(job)
    print(reproduction, flush=True)
    if reproduction.missed:
        raise FaultsFound(f"{len(reproduction.missed)} of {len(reproduction.claims)} orderings do not show")


def command() -> Command:
    return Command(
        required={
            "experiment": f"One of {', '.join(EXPERIMENTS)}.",
            "output": "Noises and trained victims are kept here, for all experiments on the same data: the same "
            "command again makes only what is missing. Each experiment's results.json, report.md and report.html are "
            "in a folder of its name.",
        },
        sections={"Reproduction": ReproduceOptions},
        run=run,
        unfinished="the experiment is not finished",
        example="ue-ray reproduce --experiment mixtures --output paper --data mnist5k --epsilon 16/255",
    )
