"""Victims as concurrent Ray tasks: trained on clean, control and protected images, measured on clean test images."""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import ray

from ue_ray.distributed import cluster
from ue_ray.distributed.survey import survey
from ue_ray.distributed.victims.spanning_victim import check_room
from ue_ray.distributed.victims.train_victims import handled, identified, load, train_victims
from ue_ray.errors import UserError, check_at_least, choose_all, listed, parse_seeds
from ue_ray.evaluation.countermeasures import Countermeasure, parse
from ue_ray.evaluation.guards import find_guards
from ue_ray.evaluation.report.console import console_table, headline
from ue_ray.evaluation.report.page import html_page
from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.evaluation.trackers import parse_trackers
from ue_ray.evaluation.training import TrainingPlan, check_augmentation
from ue_ray.evaluation.victim import CONTROLS, Comparison, check_same_classes, compare, random_control
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.machine import machine, versions
from ue_ray.learning.models import SMALLEST_IMAGE, check_model
from ue_ray.noise.budget import Budget, parse_epsilon
from ue_ray.storage.filesystem import absolute, join, write_bytes
from ue_ray.storage.inputs.open_source import BUILTINS, Source, has_own_labels, open_source
from ue_ray.storage.outputs.output import Output


@dataclass(frozen=True)
class EvaluateConfig:
    """Train victims on clean, control and protected images and say whether the protection holds."""

    clean: str
    """The images as they were before protection."""
    protected: str
    """An output of protect_dataset.py, or the same images protected by anything else."""
    test: str
    """Clean images that no one trained on."""
    output: str
    """Where to write results.json, report.html and, as it is trained, each victim's runs/*.json: the same command again
    trains only those that are not there."""
    labels: str | None = None
    """Where labels come from, as for protect_dataset.py. Not asked of what has labels of its own: an output of
    protect_dataset.py, a built-in data set."""
    test_labels: str | None = None
    """The same for --test. Default: --labels."""
    victims: str = "resnet18"
    """Networks, separated by commas: resnet9, resnet18, resnet50, vgg11, densenet121, inception-resnet,
    inception-resnet-small."""
    epochs: int = 60
    seeds: str = "0"
    """Separated by commas: each victim is trained once with each."""
    controls: str = "random"
    """random: the clean images with random noise of the same budget. Empty: none."""
    countermeasures: str = "none"
    """What the taker tries, separated by commas: every victim is trained with each. none; cutout, mixup, cutmix,
    fast-autoaugment, autoaugment, randaugment; grayscale (the test images too), jpeg-1 ... jpeg-100 (the quality),
    resize-half (and back), bit-depth-1 ... -7, gaussian-blur or gaussian-blur-SIGMA; adversarial-training-8 (of 255);
    early-stopping."""
    epsilon: str | None = None
    """The budget, where the protected images are not an output of protect_dataset.py."""
    augmentation: str = "crop-flip"
    """crop-flip (the paper's), crop (where left and right differ, as in digits) or none."""
    batch_size: int = 128
    learning_rate: float = 0.025
    image_size: int | None = None
    """The side at which victims see images. Default: their own, at most 224."""
    cpus_per_victim: int = 1
    workers_per_victim: int = 1
    """Above 1, each victim is trained by so many Train workers together, one victim after the other. Each worker has
    --cpus-per-victim CPUs, a GPU where there are any, and its part of every batch."""
    track: str = ""
    """Show each victim's learning curve there too, by commas: tensorboard (event files under --output), mlflow, wandb
    (set up by their own environment variables)."""


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Run all victims and return the results, as written to ``results.json``. Raises UserError for a user's mistake."""
    started = time.monotonic()
    plans = _plans(config)
    trackers = parse_trackers(config.track)
    controls = choose_all(config.controls, CONTROLS, "control")
    countermeasures = _countermeasures(config.countermeasures)
    sources = _sources(config)
    budget, protection = _protection(config)
    cluster.connect()
    check_room(config.workers_per_victim, config.cpus_per_victim)
    surveys = {role: survey(source) for role, source in sources.items()}
    check_same_classes({role: found.summary.class_names for role, found in surveys.items()})
    store = VictimRuns(absolute(config.output))
    store.check()
    side = config.image_size or surveys["clean"].summary.side

    data = {role: load(found, side) for role, found in surveys.items()}
    comparison_ref = _compare.remote(data["clean"], data["protected"])
    identity = {role: identified(found) for role, found in surveys.items()}
    sets = dict(data)
    with cluster.causes():
        comparison: Comparison = ray.get(comparison_ref)
        if budget is None and controls:
            budget = _measured_budget(comparison)
        if controls and budget is not None:
            sets["control"] = _control.remote(data["clean"], budget)
            identity["control"] = f"{identity['clean']} {budget}"
        wanted = [
            VictimRun(
                plan, train_set, name, identity[train_set], identity["test"], side, workers=config.workers_per_victim
            )
            for model in dict.fromkeys(plan.model for plan in plans)
            for name in countermeasures
            for train_set in ("clean", "control", "protected")
            for plan in plans
            if train_set in sets and plan.model == model
        ]

        @cache
        def purified(role: str, countermeasure: str) -> Any:
            return handled(sets[role], countermeasures[countermeasure])

        def images(run: VictimRun) -> tuple[Any, Any]:
            test = purified("test", run.countermeasure) if countermeasures[run.countermeasure].on_test else sets["test"]
            return purified(run.train_set, run.countermeasure), test

        results_of = train_victims(wanted, store, images, config.cpus_per_victim, trackers)
        runs = [results_of[run] for run in wanted]
        sizes = ray.get([_describe.remote(data[role]) for role in sources])
    results: dict[str, Any] = {
        "format_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "seconds": round(time.monotonic() - started, 1),
        "machine": machine(),
        "versions": versions(),
        "config": asdict(config),
        "data": {
            role: {"uri": getattr(config, role), "image_size": side, **size}
            for role, size in zip(sources, sizes, strict=True)
        },
        "runs": runs,
    }
    results["data"]["protected"] |= protection | {
        name: getattr(comparison, name) for name in ("aligned", "missing", "max_abs_delta", "mean_abs_delta")
    }
    if budget is not None and controls:
        results["data"]["control"] = {"noise": "random", "granularity": "sample-wise", **asdict(budget)}
    results["guards"] = find_guards(results)
    output = absolute(config.output)
    write_bytes(join(output, "results.json"), json.dumps(results, indent=2).encode())
    write_bytes(join(output, "report.html"), html_page(results, comparison.gallery).encode())
    print(console_table(results))
    print(headline(results))
    print(f"report: {join(output, 'report.html')}")
    return results


def _sources(config: EvaluateConfig) -> dict[str, Source]:
    rules = {"clean": config.labels, "protected": config.labels, "test": config.test_labels or config.labels}
    return {role: _opened(getattr(config, role), labels) for role, labels in rules.items()}


def _opened(uri: str, labels: str | None) -> Source:
    source = open_source(uri)
    return source if labels is None or has_own_labels(source) else open_source(uri, labels)


def _countermeasures(text: str) -> dict[str, Countermeasure]:
    names = listed(text)
    if not names:
        raise UserError("--countermeasures is empty: name at least one; none leaves the images as they are")
    return {name: parse(name) for name in names}


def _plans(config: EvaluateConfig) -> list[TrainingPlan]:
    victims = listed(config.victims)
    if not victims:
        raise UserError("--victims is empty: name at least one network")
    for name in victims:
        check_model(name)
    check_augmentation(config.augmentation)
    least = {"epochs": 1, "batch_size": 2, "cpus_per_victim": 1, "workers_per_victim": 1, "image_size": SMALLEST_IMAGE}
    check_at_least(config, least)
    if config.batch_size < config.workers_per_victim:
        raise UserError(
            f"--batch-size is {config.batch_size}: too few for --workers-per-victim {config.workers_per_victim}"
        )
    if not 0 < config.learning_rate < math.inf:
        raise UserError(f"--learning-rate is {config.learning_rate:g}: it must be above 0")
    seeds = parse_seeds(config.seeds)
    return [
        TrainingPlan(name, config.epochs, seed, config.batch_size, config.learning_rate, config.augmentation)
        for name in victims
        for seed in seeds
    ]


def _protection(config: EvaluateConfig) -> tuple[Budget | None, dict[str, Any]]:
    """The budget and what the protected set's manifest says of its noise; None where there is no manifest."""
    said = dict.fromkeys(("method", "granularity", "epsilon", "norm"))
    output = Output(absolute(config.protected))
    budget = Budget(parse_epsilon(config.epsilon)) if config.epsilon else None
    if config.protected not in BUILTINS and output.is_committed():
        noise = output.manifest()["noise"]
        own = Budget(**noise["budget"])
        said = {"method": noise["method"], "granularity": noise["granularity"], **asdict(own)}
        budget = Budget(budget.epsilon, own.norm) if budget else own
    return budget, said


def _measured_budget(comparison: Comparison) -> Budget:
    if not comparison.max_abs_delta:
        raise UserError(
            "the control's budget is unknown (no manifest, no change measured): give --epsilon or --controls ''"
        )
    return Budget(comparison.max_abs_delta)


@ray.remote
def _control(clean: LabelledImages, budget: Budget) -> LabelledImages:
    return random_control(clean, budget)


@ray.remote
def _compare(clean: LabelledImages, protected: LabelledImages) -> Comparison:
    return compare(clean, protected)


@ray.remote
def _describe(data: LabelledImages) -> dict[str, Any]:
    return {
        "images": len(data.labels),
        "rejected": data.rejected,
        "classes": len(data.class_names),
        "class_names": data.class_names,
    }
