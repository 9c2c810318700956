"""Trains victims on clean, control and protected images, and measures them on clean test images."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import ray

from ue_ray.cli import Command
from ue_ray.distributed import cluster
from ue_ray.distributed.survey import Survey, survey
from ue_ray.distributed.victims.image_sets import Images, ImageSets, is_output
from ue_ray.distributed.victims.spanning_victim import check_room
from ue_ray.distributed.victims.train_victims import train_victims
from ue_ray.errors import UserError
from ue_ray.evaluation.comparison import Comparison, compare
from ue_ray.evaluation.guards import find_guards
from ue_ray.evaluation.options import EvaluateOptions, as_settings, read_options
from ue_ray.evaluation.outcome import Evaluation
from ue_ray.evaluation.report.page import html_page
from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.evaluation.victim import check_class_names, random_control
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.machine import machine, versions
from ue_ray.noise.budget import Budget
from ue_ray.storage.filesystem import absolute, join, write_bytes
from ue_ray.storage.inputs.listing import Listing
from ue_ray.storage.inputs.open_source import BUILTINS, Source, open_source
from ue_ray.storage.outputs.output import Output


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
        >>> evaluation = ue_ray.evaluate(*places, victims="resnet9", epochs=1, controls="", augmentation="none")
        >>> evaluation.accuracy("resnet9", "clean") > 0.5
        True
    """
    started = time.monotonic()
    job = resolve({"clean": clean, "protected": protected, "test": test}, output, options)
    return report(job, run(job, make_plan(job)), started)


@dataclass(frozen=True)
class Job:
    """What is asked for, checked as far as it can be without listing the inputs.

    ``uris`` and ``sources``: of clean, protected and test. ``budget``: of the protection; None where it is neither
    given nor in a manifest. ``noise``: what a manifest says of the noise.
    """

    uris: Mapping[str, str]
    output: str
    sources: Mapping[str, Source]
    store: VictimRuns
    options: EvaluateOptions
    budget: Budget | None
    noise: Mapping[str, Any]


def resolve(uris: Mapping[str, str], output: str, given: Mapping[str, Any]) -> Job:
    """Reads the options and opens the inputs. Raises UserError for a mistake."""
    options = read_options(EvaluateOptions, given)
    keywords = {"clean": options.source, "protected": options.source, "test": options.test_source}
    sources = {role: _open(uri, keywords[role]) for role, uri in uris.items()}
    budget, noise = _protection(uris["protected"], options.epsilon)
    return Job(uris, output, sources, VictimRuns(absolute(output)), options, budget, noise)


def _open(uri: str, keywords: Mapping[str, str]) -> Source:
    """Opens an input. What has labels and columns of its own gets no keywords for them."""
    if uri in BUILTINS:
        return open_source(uri, **{name: value for name, value in keywords.items() if name == "split"})
    with suppress(OSError):  # open_source says what is wrong with the place
        if is_output(uri):
            return open_source(uri)
    return open_source(uri, **keywords)


def _protection(uri: str, epsilon: float | None) -> tuple[Budget | None, dict[str, Any]]:
    """Returns the budget and what the manifest says of the noise, None for each where there is no manifest."""
    noise = dict.fromkeys(("method", "granularity", "epsilon", "norm"))
    budget = Budget(epsilon) if epsilon is not None else None
    if is_output(uri):
        recorded = Output(absolute(uri)).manifest()["noise"]
        own = Budget(**recorded["budget"])
        noise = {"method": recorded["method"], "granularity": recorded["granularity"], **asdict(own)}
        budget = Budget(budget.epsilon, own.norm) if budget else own
    return budget, noise


@dataclass(frozen=True)
class Plan:
    """The listed inputs, and the side in pixels at which victims see their images."""

    surveys: Mapping[str, Survey]
    side: int


def make_plan(job: Job) -> Plan:
    """Joins the cluster and lists the inputs. Raises UserError for inputs that do not fit together."""
    cluster.connect()
    check_room(job.options.workers_per_victim, job.options.cpus_per_victim)
    surveys = {role: survey(source) for role, source in job.sources.items()}
    check_class_names({f"--{role}": surveyed.summary.class_names for role, surveyed in surveys.items()}, "--clean")
    job.store.check()
    return Plan(surveys, job.options.image_size or surveys["clean"].summary.side)


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

    with cluster.causes():
        clean = sets.loaded("clean")
        comparison: Comparison = ray.get(_compare(plan))
        budget = _control_budget(job, comparison) if options.controls else None
        if budget is not None:
            sets.made("control", random_control, clean, budget)
        runs = victim_runs(job, plan, sets.digests(job.uris), budget)
        entries = train_victims(runs, job.store, images_of, options.cpus_per_victim, options.trackers)
        facts = ray.get([_describe.remote(sets.loaded(role)) for role in job.uris])
        shared = sets.shared("test", "clean")
    data = {
        role: {"uri": job.uris[role], "image_size": plan.side, **fact}
        for role, fact in zip(job.uris, facts, strict=True)
    }
    data["test"]["in_clean"] = shared
    if budget is not None:
        data["control"] = {"noise": "random", "granularity": "sample-wise", **asdict(budget)}
    return Outcome(data, [entries[run] for run in runs], comparison)


def _control_budget(job: Job, comparison: Comparison) -> Budget:
    if job.budget is not None:
        return job.budget
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
        identities["control"] = f"{identities['clean']} {control}"
    return [
        VictimRun(
            training, train_set, name, identities[train_set], identities["test"], plan.side,
            workers=options.workers_per_victim,
        )
        for model in options.victims
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
    return _comparison.remote((clean.source, protected.source), clean.table, protected.table, names)


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


def command() -> Command:
    """Returns ``ue-ray evaluate``: prints the table of the evaluation."""

    def run(**given: Any) -> Evaluation:
        evaluation = evaluate(**given)
        print(evaluation)
        return evaluation

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
    )
