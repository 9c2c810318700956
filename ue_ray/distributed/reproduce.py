"""Runs an experiment of the paper: crafts its noises, trains its victims, and checks what the paper states."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ue_ray.distributed import cluster
from ue_ray.distributed.causes import causes
from ue_ray.distributed.console import say
from ue_ray.distributed.gpus import use_gpu
from ue_ray.distributed.protect import protect
from ue_ray.distributed.survey import Survey, survey
from ue_ray.distributed.victims.arms import train_arms
from ue_ray.distributed.victims.data_parts import TEST, TRAIN, Part, data_parts
from ue_ray.distributed.victims.hardware import Hardware
from ue_ray.distributed.victims.image_sets import ImageSets
from ue_ray.errors import UserError, option_names
from ue_ray.evaluation.guards import find_experiment_guards
from ue_ray.evaluation.options import as_settings
from ue_ray.evaluation.victim import check_class_names
from ue_ray.experiments import Recipe
from ue_ray.experiments.base import clean_labels
from ue_ray.experiments.board import Board
from ue_ray.experiments.board_page import board_page, board_text
from ue_ray.experiments.job import Job, resolve
from ue_ray.experiments.options import ReproduceOptions
from ue_ray.experiments.outcome import Reproduction, circumstances
from ue_ray.experiments.page import experiment_page
from ue_ray.experiments.report import markdown, summarised
from ue_ray.learning.machine import machine, versions
from ue_ray.noise.methods import METHODS, epsilon_for
from ue_ray.protection.manifest import Manifest
from ue_ray.storage.filesystem import join, write_bytes
from ue_ray.storage.inputs.listing import key_hash
from ue_ray.storage.inputs.open_source import open_source, with_classes_of
from ue_ray.storage.inputs.options import SELECTING

Runs = Mapping[str, list[dict[str, Any]]]  # entries of results.json, one for each seed, by the labels of arms


def reproduce(experiment: str, output: str, **options: Any) -> Reproduction:
    """Runs an experiment of the paper (Huang et al., ICLR 2021) and says whether its orderings show.

    ``experiment``: one of ``EXPERIMENTS``; ``options``: those of ``ue-ray reproduce --help``, by name. Noises and
    trained victims are kept at ``output`` for all experiments on the same data, and are not made again. results.json,
    report.md and report.html are written to a folder of the experiment's name there.

    Raises UserError for a mistake, RunError when the experiment cannot be finished.

    Example:
        >>> import ue_ray
        >>> reproduction = ue_ray.reproduce("mixtures", "paper", data="mnist5k", epsilon="16/255")  # doctest: +SKIP
        >>> reproduction.missed  # orderings of the paper that do not show  # doctest: +SKIP
        []
    """
    return carry_out(resolve(experiment, output, options))


def carry_out(job: Job) -> Reproduction:
    """Does what ``job`` asks for; returns the outcome."""
    started = time.monotonic()
    with causes(job.output):
        plan = make_plan(job)
        made = run(job, plan)
        return report(job, plan, made, started)


@dataclass(frozen=True)
class Plan:
    """The images to train and test on, ``clean`` and ``test``; where it is needed, ``other`` and ``other test``; what a
    victim's worker has."""

    parts: Mapping[str, Part]
    surveys: Mapping[str, Survey]
    hardware: Hardware


def make_plan(job: Job) -> Plan:
    """Joins the cluster and lists the data. Raises UserError for data that does not fit the experiment."""
    cluster.connect()
    options = job.options
    hardware = Hardware(options.cpus_per_victim, use_gpu(options.use_gpu, 1))
    own = data_parts(options.data, job.place("parts"), options.source, options.test_split)
    parts = {"clean": own[TRAIN], "test": own[TEST]}
    if options.other is not None:
        reading = {name: value for name, value in options.source.items() if name not in SELECTING}
        other = data_parts(options.other, job.place("other parts"), reading, options.test_split)
        parts |= {"other": other[TRAIN], "other test": other[TEST]}
    surveys = {name: survey(part.source) for name, part in parts.items() if name != "test"}
    tested_on = parts["test"].source
    if options.classes is not None:
        tested_on = with_classes_of(tested_on, surveys["clean"].summary.class_names)
    surveys["test"] = survey(tested_on)
    class_names = {name: surveyed.summary.class_names for name, surveyed in surveys.items()}
    for train, test, data in (("clean", "test", options.data), ("other", "other test", options.other)):
        if train in parts:
            names = {f"{data} ({TRAIN})": class_names[train], f"{data} ({TEST})": class_names[test]}
            check_class_names(names, f"{data} ({TRAIN})")
    arms = job.experiment.arms(options.sizes)
    needed = 1 + max((k for arm in arms for k in (*(arm.mix.classes or ()), *arm.pair_classes)), default=0)
    if needed > len(class_names["clean"]):
        raise UserError(f"{options.data}: has {len(class_names['clean'])} classes; {job.name} needs at least {needed}")
    return Plan(parts, surveys, hardware)


@dataclass(frozen=True)
class Made:
    """What came of the victims. ``shared``: how many test images are training images too; ``noises``: by name, seconds
    of crafting and, of a board, how alike the images are before and after."""

    runs: Runs
    shared: int
    noises: dict[str, dict[str, Any]]


def run(job: Job, plan: Plan) -> Made:
    """Crafts the noises, lays each on the images, and trains the victims."""
    surveys = dict(plan.surveys)
    sets = ImageSets(surveys, surveys["clean"].summary.side)
    digests = sets.digests(name for name in ("clean", "other") if name in surveys)
    shared = sets.shared("test", "clean")
    del sets  # the noises need the memory
    noises: dict[str, dict[str, Any]] = {}
    for recipe in job.experiment.recipes():
        say(f"{job.name}: {recipe.name}")
        place = job.place("noises", noise_folder(recipe, digests))
        manifest = _protect(job.options, recipe, plan.parts, place)
        noises[recipe.name] = {"craft_seconds": manifest["crafting"]["seconds"]}
        surveys[recipe.name] = survey(open_source(place))
    if isinstance(job.experiment, Board):
        sets = ImageSets(surveys, surveys["clean"].summary.side)
        for name, facts in noises.items():
            facts |= asdict(sets.likeness("clean", name))
        del sets
    runs = train_arms(job.experiment.arms(job.options.sizes), job.options, surveys, job.store, plan.hardware)
    return Made(runs, shared, noises)


def noise_folder(recipe: Recipe, digests: Mapping[str, str]) -> str:
    """Returns the name of the folder of a noise: different where the pixels that it is made of differ, even if their
    keys and sizes are the same. ``digests``: of the images ``clean`` and, where they are needed, ``other``."""
    images = digests["clean"] + (digests["other"] if recipe.other else "")
    return f"{recipe.name}-{key_hash(images, 4).hex()}"


def _protect(options: ReproduceOptions, recipe: Recipe, parts: Mapping[str, Part], place: str) -> Manifest:
    """Crafts the noise on the images, or on the other data set's, and writes the images with it to ``place``."""
    crafting = {"views": options.views, "surrogate": options.sizes.surrogate}
    own = option_names(METHODS[recipe.options["method"]].Options)
    common = {"image_size": options.image_size, "use_gpu": options.use_gpu, "check": "off"}
    common |= epsilon_for(recipe.options["method"], options.epsilon)
    noise = {**common, **{name: value for name, value in crafting.items() if name in own}, **recipe.options}
    if recipe.other:
        crafted = f"{place}-crafted"
        protect(parts["other"].uri, crafted, mode="resume", **parts["other"].options, **noise)
        noise = {"artifact": join(crafted, "noise"), "class_map": options.class_map}
    return protect(parts["clean"].uri, place, mode="resume", **parts["clean"].options, **noise)


def report(job: Job, plan: Plan, made: Made, started: float) -> Reproduction:
    """Checks what the paper states, and writes the results. ``started``: by ``time.monotonic``."""
    experiment, runs = job.experiment, made.runs
    summaries = {name: surveyed.summary for name, surveyed in plan.surveys.items()}
    claims = experiment.claims({label: summarised(entries) for label, entries in runs.items()})
    results: dict[str, Any] = {
        "format_version": 1,
        "experiment": job.name,
        "figure": experiment.figure,
        "accuracies": experiment.accuracies,
        "class_names": list(summaries["test"].class_names),
        "command": shlex.join(["python", *sys.argv]),
        "seconds": round(time.monotonic() - started, 1),
        "victim_seconds": round(sum(entry["seconds"] for entries in runs.values() for entry in entries), 1),
        "machine": machine(),
        "versions": versions(),
        "config": {"experiment": job.name, "output": job.output, **as_settings(job.options)},
        "images": {"train": summaries["clean"].labelled, "test": summaries["test"].labelled},
        "paper": dict(experiment.paper),
        "runs": runs,
        "claims": [asdict(claim) for claim in claims],
        "noises": made.noises,
    }
    results["guards"] = find_experiment_guards(
        runs,
        clean_labels(experiment.arms(job.options.sizes)),
        len(summaries["clean"].class_names),
        summaries["test"].labelled,
        made.shared,
    )
    how = circumstances(results, job.options.sizes)
    if isinstance(experiment, Board):
        results["layout"] = experiment.layout()
        text, page = board_text(results, how), board_page(results)
    else:
        text, page = markdown(job.name, experiment, runs, claims, results["guards"], how), experiment_page(results)
    reproduction = Reproduction(results, text, job.place(job.name, "report.html"))
    write_bytes(job.place(job.name, "results.json"), json.dumps(results, indent=1).encode())
    write_bytes(job.place(job.name, "report.md"), text.encode())
    write_bytes(reproduction.report, page.encode())
    return reproduction
