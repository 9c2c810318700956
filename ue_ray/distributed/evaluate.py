"""Trains victims on clean, control and protected images, and measures them on clean test images."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import ray

from ue_ray.distributed import cluster
from ue_ray.distributed.causes import causes
from ue_ray.distributed.gpus import use_gpu
from ue_ray.distributed.survey import Survey, survey
from ue_ray.distributed.victims.hardware import Hardware
from ue_ray.distributed.victims.image_sets import Images, ImageSets
from ue_ray.distributed.victims.train_victims import train_victims
from ue_ray.errors import UserError
from ue_ray.evaluation.comparison import Comparison, compare
from ue_ray.evaluation.guards import find_guards
from ue_ray.evaluation.job import Job, resolve
from ue_ray.evaluation.options import as_settings
from ue_ray.evaluation.outcome import Evaluation
from ue_ray.evaluation.report.page import html_page
from ue_ray.evaluation.runs import VictimRun
from ue_ray.evaluation.victim import check_class_names, random_control
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.machine import machine, versions
from ue_ray.noise.budget import Budget
from ue_ray.storage.filesystem import join, write_bytes
from ue_ray.storage.inputs.listing import Listing, Source
from ue_ray.storage.inputs.open_source import with_classes_of


def evaluate(clean: str, protected: str, test: str, output: str, **options: Any) -> Evaluation:
    """Trains victims and says whether the protection holds; writes results.json and report.html to ``output``.

    ``clean``: the images before protection; ``protected``: an output of ``protect``, or the same images protected by
    anything else; ``test``: clean images that nothing was trained on. ``options``: those of ``ue-ray evaluate --help``,
    by name (``epochs=30``); lists may be lists (``seeds=[0, 1]``). A victim that ``output`` has a run of already is not
    trained again.

    Raises UserError for a mistake, RunError when the evaluation cannot be finished.

    Example:
        >>> import ue_ray
        >>> places = ("mnist5k", "protected", "mnist5k-test", "report")  # clean, protected, test, output
        >>> quick = {"victims": "resnet9", "epochs": 2, "seeds": "0", "controls": "", "augmentation": "none"}
        >>> evaluation = ue_ray.evaluate(*places, **quick)
        >>> evaluation.accuracy("resnet9", "clean") > 0.5
        True
    """
    return carry_out(resolve({"clean": clean, "protected": protected, "test": test}, output, options))


def carry_out(job: Job) -> Evaluation:
    """Does what ``job`` asks for; returns the evaluation."""
    started = time.monotonic()
    with causes(job.output):
        plan = make_plan(job)
        job = replace(job, options=job.options.resolved(plan.surveys["clean"].summary.count, plan.hardware.gpu))
        return report(job, run(job, plan), started)


@dataclass(frozen=True)
class Plan:
    """The listed inputs, the side in pixels at which victims see their images, and what a victim's workers have."""

    surveys: Mapping[str, Survey]
    side: int
    hardware: Hardware


def make_plan(job: Job) -> Plan:
    """Joins the cluster and lists the inputs. Raises UserError for inputs that do not fit together."""
    cluster.connect()
    options = job.options
    hardware = Hardware(
        options.cpus_per_victim, use_gpu(options.use_gpu, options.workers_per_victim, "--workers-per-victim")
    )
    hardware.check_room(options.workers_per_victim)
    surveys = {"clean": survey(job.sources["clean"])}
    class_names = surveys["clean"].summary.class_names
    for role in ("protected", "test"):
        source = job.sources[role]
        surveys[role] = survey(source if options.classes is None else with_classes_of(source, class_names))
    check_class_names({f"--{role}": surveyed.summary.class_names for role, surveyed in surveys.items()}, "--clean")
    if len(class_names) < 2:
        raise UserError("--clean: holds one class; victims tell classes apart: two or more are needed")
    job.store.check()
    return Plan(surveys, options.image_size or surveys["clean"].summary.side, hardware)


@dataclass(frozen=True)
class Outcome:
    """``data`` and ``runs`` of results.json, and the comparison of clean with protected images."""

    data: dict[str, Any]
    runs: list[dict[str, Any]]
    comparison: Comparison


def run(job: Job, plan: Plan) -> Outcome:
    """Compares the images, makes the control, and trains the victims."""
    options, sets = job.options, ImageSets(plan.surveys, plan.side)

    def images_of(run: VictimRun) -> tuple[Images, Images]:
        train, test = sets.loaded(run.train_set), sets.loaded("test")
        return sets.purified(train, run.countermeasure), sets.purified(test, run.countermeasure, for_test=True)

    clean = sets.loaded("clean")
    comparison: Comparison = ray.get(_compare(plan))
    budget = _control_budget(job, comparison) if options.controls else None
    if budget is not None:
        sets.made("control", random_control, clean, budget)
    runs = victim_runs(job, plan, sets.digests(job.uris), budget)
    entries = train_victims(runs, job.store, images_of, plan.hardware, options.trackers)
    facts = ray.get([_describe.options(name="evaluate: describe").remote(sets.loaded(role)) for role in job.uris])
    shared = sets.shared("test", "clean")
    data = {
        role: {"uri": job.uris[role], "image_size": plan.side, **fact}
        for role, fact in zip(job.uris, facts, strict=True)
    }
    data["test"]["in_clean"] = shared
    if budget is not None:
        data["control"] = {"noise": "random", "granularity": "sample-wise", **asdict(budget)}
    return Outcome(data, [entries[run] for run in runs], comparison)


def _control_budget(job: Job, comparison: Comparison) -> Budget | None:
    """Returns what random noise is drawn in; None where the protection is a change that has no bound."""
    if job.budget is not None:
        return None if job.budget.norm == "unbounded" else job.budget
    if not comparison.max_abs_delta:
        raise UserError(
            "the control's budget is unknown (no manifest, no change measured): give --epsilon or --controls ''"
        )
    return Budget(comparison.max_abs_delta)


def victim_runs(job: Job, plan: Plan, digests: Mapping[str, str], control: Budget | None) -> list[VictimRun]:
    """Returns the victims to train: by network, countermeasure, set of images, and seed. ``digests``: of the sets."""
    options = job.options
    identities = dict(digests)
    if control is not None:
        identities["control"] = f"{identities['clean']} {control!r}"
    return [
        VictimRun(
            training, train_set, name, identities[train_set], identities["test"], plan.side,
            workers=options.workers_per_victim,
        )
        for model in options.victims or ()
        for name in options.countermeasures
        for train_set in ("clean", "control", "protected")
        for training in options.plans
        if train_set in identities and training.model == model
    ]  # fmt: skip


def report(job: Job, outcome: Outcome, started: float) -> Evaluation:
    """Writes results.json and report.html. ``started``: when the evaluation began, by ``time.monotonic``."""
    change = ("aligned", "missing", "resized", "max_abs_delta", "mean_abs_delta")
    outcome.data["protected"] |= {**job.noise, **{name: getattr(outcome.comparison, name) for name in change}}
    results: dict[str, Any] = {
        "format_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "seconds": round(time.monotonic() - started, 1),
        "machine": machine(),
        "versions": versions(),
        "config": {**job.uris, "output": job.output, **as_settings(job.options)},
        "data": outcome.data,
        "runs": outcome.runs,
    }
    results["guards"] = find_guards(results)
    write_bytes(join(job.store.uri, "results.json"), json.dumps(results, indent=2).encode())
    evaluation = Evaluation(results, join(job.store.uri, "report.html"))
    write_bytes(evaluation.report, html_page(results, outcome.comparison.gallery).encode())
    return evaluation


def _compare(plan: Plan) -> Any:
    """Returns a reference to the ``Comparison`` of the clean with the protected images."""
    clean, protected = plan.surveys["clean"], plan.surveys["protected"]
    names = clean.summary.class_names, protected.summary.class_names
    return _comparison.options(name="evaluate: compare").remote(
        (clean.source, protected.source), clean.table, protected.table, names
    )


@ray.remote
def _comparison(
    sources: tuple[Source, Source], clean: pa.Table, protected: pa.Table, names: tuple[list[str], list[str]]
) -> Comparison:
    return compare(sources, Listing(clean, names[0]), Listing(protected, names[1]))


@ray.remote
def _describe(images: LabelledImages) -> dict[str, Any]:
    return {
        "images": len(images.labels),
        "rejected": images.rejected,
        "classes": len(images.class_names),
        "class_names": images.class_names,
    }
