"""``ue-ray protect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ue_ray.cli.command import Command, on_ray
from ue_ray.errors import WeakNoise
from ue_ray.protection.options import InputOptions, NoiseSource, OutputOptions, WorkerOptions, noise_sections

if TYPE_CHECKING:
    from ue_ray.protection.job import Job


_jobs: list[Job] = []


def run(input: str, output: str, **options: Any) -> None:
    from ue_ray.protection.job import resolve

    job = resolve(input, output, options)
    _jobs[:] = [job]
    manifest = on_ray("protect").carry_out(job)
    if why := manifest.weakness:
        raise WeakNoise(why)


def begun() -> bool:
    """Returns whether the run of this process has claimed its output: from then on it can be resumed."""
    return any(job.output.begun for job in _jobs)


def command() -> Command:
    """Returns the command; the methods' own options are those of METHODS as it is now."""
    return Command(
        required={
            "input": "A folder of class folders, Parquet (image, label), a bucket of either, or a built-in data set: "
            "mnist5k, cifar10, cifar100, svhn, lfw, celeba, imagenet.",
            "output": "Where to write: an empty or absent folder, unless --mode says otherwise.",
        },
        sections={
            "Reading": InputOptions,
            "Writing": OutputOptions,
            "Ready-made noise": NoiseSource,
            **noise_sections(),
            "Workers": WorkerOptions,
        },
        run=run,
        unfinished="nothing was committed",
        example="ue-ray protect --input mnist5k --output protected --epsilon 16/255 --surrogate resnet9",
    )
