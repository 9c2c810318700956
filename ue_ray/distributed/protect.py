"""The main job: list -> craft -> apply -> commit."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from ue_ray.distributed import cluster
from ue_ray.distributed.applying.apply import apply
from ue_ray.distributed.causes import causes
from ue_ray.distributed.console import say
from ue_ray.distributed.crafting.craft import craft
from ue_ray.distributed.crafting.workers import Workers
from ue_ray.distributed.survey import Survey, survey
from ue_ray.errors import RunError, UserError
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import versions
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.methods import METHODS, new_method, noise_config
from ue_ray.protection.class_map import labels_for_artifact
from ue_ray.protection.job import Job, resolve
from ue_ray.protection.manifest import Manifest
from ue_ray.protection.options import WorkerOptions
from ue_ray.protection.shard import ShardResult, surviving_share
from ue_ray.storage.filesystem import join
from ue_ray.storage.inputs.labels import first_names
from ue_ray.storage.outputs.layout import NOISE, WORK


def protect(input: str, output: str, **options: Any) -> Manifest:
    """Protects the images at ``input`` and writes them to ``output``; returns the committed manifest.

    ``input``: a folder of class folders, Parquet, a bucket of either, or a built-in data set. ``options``: those of
    ``ue-ray protect --help``, by name (``max_rounds=30``); what is left out takes the paper's values for the method and
    granularity (Huang et al., ICLR 2021, Appendix B).

    Raises UserError for a mistake, RunError when the run cannot be finished; then nothing is committed.

    Example:
        >>> import ue_ray
        >>> manifest = ue_ray.protect("mnist5k", "protected", method="random", epsilon="16/255")
        >>> manifest.protected
        4000
    """
    return carry_out(resolve(input, output, options))


def carry_out(job: Job) -> Manifest:
    """Does what ``job`` asks for; returns the committed manifest."""
    with causes(job.output.uri):
        plan = make_plan(job)
        committed = job.output.begin(job.options.output.mode, plan.card)
        if committed is not None:
            manifest = Manifest(job.output.uri, committed)
            say(f"nothing to do: this run is committed already, {manifest}; {manifest.uri}")
            return manifest
        manifest = run(job, plan)
        report(manifest, lossless=job.options.handling.lossless)
        return manifest


@dataclass(frozen=True)
class Plan:
    """What is to be done to which images. ``card``: only a run with the same may go on with an output."""

    survey: Survey
    config: NoiseConfig
    workers: Workers
    card: dict[str, Any]


def make_plan(job: Job) -> Plan:
    """Joins the cluster, lists the input, and settles the noise. Raises UserError for an input of no use."""
    cluster.connect()
    use_gpu = _use_gpu(job.options.workers)
    surveyed = survey(job.source, job.options.handling)
    summary = surveyed.summary
    if job.source.split is not None:
        say(f"split: {job.source.split} of {', '.join(job.source.splits)}; --split chooses another")
    names = summary.class_names
    say(f"input: {job.input}: {summary.count:,} images in {len(names)} classes: {first_names(names)}")
    if job.artifact is not None:
        labels_for_artifact(summary.class_names, job.artifact.config.class_names, job.class_map)
        used = set(summary.class_names) - set(summary.unseen)
        job.artifact.check_seen({job.class_map.get(name, name) for name in used})
        config = job.artifact.config
    else:
        config = noise_config(job.options.noise, summary.class_names, summary.count, summary.side, use_gpu)
    say(_described(config))
    card = {
        "input": {
            "images": summary.count,
            "classes": len(summary.class_names),
            "class_names": sha256("\0".join(summary.class_names).encode()).hexdigest(),
            "listing": summary.fingerprint,
        },
        "noise": config.to_json() | {"class_names": len(config.class_names)},
        "artifact": job.artifact.digest if job.artifact else None,
        "class_map": dict(job.class_map),
        "handling": asdict(job.options.handling),
    }
    options = job.options.workers
    workers = Workers(
        options.num_workers, use_gpu, options.compile, options.precision, options.at_least, options.delta_table
    )
    return Plan(surveyed, config, workers, card)


def run(job: Job, plan: Plan) -> Manifest:
    """Crafts the noise unless it is there, applies it to every image, and commits."""
    output, summary = job.output, plan.survey.summary
    noise_uri = join(output.uri, NOISE)
    if job.artifact is not None:
        job.artifact.save(noise_uri)
    elif not NoiseArtifact.is_at(noise_uri):
        _craft(plan, noise_uri, join(output.uri, WORK))
    card = NoiseArtifact.load_card(noise_uri)
    if job.artifact is None and card.record["stopped_by"] == "round limit":
        say(
            f"craft: stopped at the bound of {plan.config.options['max_rounds']} rounds with error "
            f"{card.record['error']:.3f}: the goal, {card.record['goal']}, was not reached"
        )
    results = list(apply(plan.survey, noise_uri, output.uri, plan.workers.use_gpu, job.class_map))
    if not any(result.record.protected for result in results):
        raise RunError(f"nothing could be protected: {'; '.join(_rejections(results))}")
    for rejection in _rejections(results):
        say(f"rejected: {rejection}")
    facts = {
        "config": {"input": job.input, "output": output.uri, **job.given},
        "noise": plan.card["noise"],
        "crafting": {key: card.record.get(key) for key in ("stopped_by", "error", "seconds")},
        "artifact": {"card_sha256": card.digest},
        "listing_fingerprint": summary.fingerprint,
        "class_names": summary.class_names,
        "dropped_classes": summary.dropped,
        **_measured(results),
        "versions": versions(),
    }
    return Manifest(output.uri, output.commit(summary.count, [result.record for result in results], facts))


def _craft(plan: Plan, noise_uri: str, work: str) -> None:
    if METHODS[plan.config.method].needs_data:
        craft(plan.survey, plan.config, plan.workers, noise_uri, work)
        return
    artifact = new_method(plan.config, Compute.detect("cpu")).craft()
    assert artifact is not None
    artifact.save(noise_uri)


def _measured(results: list[ShardResult]) -> dict[str, Any]:
    return {
        "max_abs_delta": max((result.largest_change for result in results), default=0.0),
        "surviving_share": surviving_share(results),
        "notes": dict(sum((Counter(result.notes) for result in results), Counter[str]())),
    }


def _rejections(results: list[ShardResult]) -> list[str]:
    """Returns a line for each of the five most frequent reasons, with an example, and one for the rest."""
    counts = sum((Counter(result.record.reasons) for result in results), Counter[str]())
    examples = {reason: key for result in results for reason, key in result.examples.items()}
    lines = [f"{count:,} {reason} (such as {examples[reason]})" for reason, count in counts.most_common(5)]
    rest = counts.most_common()[5:]
    return lines + [f"{sum(count for _, count in rest):,} for {len(rest)} other reasons"] * bool(rest)


def report(manifest: Manifest, lossless: bool) -> None:
    """Says on the console what was committed, and what is to be noted of it."""
    for note, count in manifest["notes"].items():
        say(f"note: {note}: {count:,} images")
    if not lossless:
        budget, change = Budget(**manifest["noise"]["budget"]), manifest.max_abs_delta
        broken = budget.norm == "linf" and not budget.holds(change)
        say(
            f"warning: jpeg kept {100 * manifest['surviving_share']:.0f} % of the noise"
            + f", and breaks the budget: the largest change is {255 * change:.0f}/255" * broken
        )
    if manifest["noise"]["method"] == "random":
        say("warning: random noise is a control: it does not protect")
    if manifest.protected and not manifest.max_abs_delta:
        say("warning: no image was changed: the budget is too small for images of this size")
    else:
        say(f"largest change of a pixel: {255 * manifest.max_abs_delta:.3g}/255")
    say(f"committed: {manifest}; {manifest.uri}")


def _use_gpu(workers: WorkerOptions) -> bool:
    """Raises UserError where GPUs are too few, except for ``yes`` on a cluster, where there may be more to come."""
    available = cluster.gpus()
    if workers.use_gpu == "no" or (workers.use_gpu == "auto" and not available):
        return False
    if available < workers.num_workers and not (workers.use_gpu == "yes" and cluster.joined()):
        fewer = f"give --num-workers {available:g}, or --use-gpu no" if available else "give --use-gpu no"
        raise UserError(f"{available:g} GPUs for --num-workers {workers.num_workers}: {fewer}")
    return True


def _described(config: NoiseConfig) -> str:
    network = config.options.get("surrogate")
    surrogate = f", surrogate {network} at {config.image_size}x{config.image_size}" if network else ""
    return (
        f"noise: {config.method}, {config.granularity}, epsilon {config.budget.epsilon * 255:g}/255 "
        f"({config.budget.norm}){surrogate}, delta on {config.canvas}x{config.canvas}"
    )
