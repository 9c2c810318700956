"""The main job: list -> craft -> apply -> commit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from ue_ray.distributed import cluster
from ue_ray.distributed.applying.apply import apply
from ue_ray.distributed.applying.preview import preview
from ue_ray.distributed.causes import causes
from ue_ray.distributed.check import RunningCheck
from ue_ray.distributed.console import say
from ue_ray.distributed.crafting.craft import craft
from ue_ray.distributed.crafting.workers import Workers
from ue_ray.distributed.gpus import use_gpu
from ue_ray.distributed.survey import Summary, Survey, survey
from ue_ray.errors import RunError, UserError, command_line
from ue_ray.evaluation.self_check import LEAST, SelfCheck
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import versions
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafting.rounds import LEAST_USED
from ue_ray.noise.methods import METHODS, new_method, noise_config
from ue_ray.protection.class_map import labels_for_artifact
from ue_ray.protection.job import Job, resolve
from ue_ray.protection.manifest import Manifest
from ue_ray.protection.partial import Partial, protected_classes
from ue_ray.protection.totals import Totals
from ue_ray.storage.filesystem import join
from ue_ray.storage.inputs.builtin import TEST_OF
from ue_ray.storage.inputs.labels import first_names
from ue_ray.storage.outputs.layout import MANIFEST, NOISE, PREVIEW, WORK

CONTROL = "random noise is a control: it does not protect"


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
        say("\n".join(next_steps(job)))
        return manifest


@dataclass(frozen=True)
class Plan:
    """What is to be done to which images. ``card``: only a run with the same may go on with an output; ``partial``:
    which classes are protected, None for all."""

    survey: Survey
    config: NoiseConfig
    workers: Workers
    card: dict[str, Any]
    partial: Partial | None


def make_plan(job: Job) -> Plan:
    """Joins the cluster, lists the input, and settles the noise. Raises UserError for an input of no use."""
    cluster.connect()
    options = job.options.workers
    on_gpu = use_gpu(options.use_gpu, options.num_workers, "--num-workers")
    surveyed = survey(job.source, job.options.handling)
    summary = surveyed.summary
    if job.source.split is not None:
        say(f"split: {job.source.split} of {', '.join(job.source.splits)}; --split chooses another")
    names = summary.class_names
    classes = "1 class" if len(names) == 1 else f"{len(names)} classes"
    say(f"input: {job.input}: {summary.count:,} images in {classes}: {first_names(names)}")
    partial = _partial(job, summary)
    if job.artifact is not None:
        protects = protected_classes(partial, names).tolist()
        labels_for_artifact(names, job.artifact.config.class_names, job.class_map, protects)
        used = set(partial.only if partial else names) - set(summary.unseen)
        job.artifact.check_seen({job.class_map.get(name, name) for name in used})
        config = job.artifact.config
    else:
        config = noise_config(job.options.noise, summary.class_names, summary.count, summary.side, on_gpu)
    say(f"noise: {', '.join(_described(config))}")
    noise = config.to_json() | {"class_names": len(config.class_names)}
    if "owner" in job.options.noise:  # the card is published, in the manifest
        noise["seed"] = sha256(str(config.seed).encode()).hexdigest()
    card = {
        "input": {
            "images": summary.count,
            "left_out": summary.left_out or None,  # as in the cards of earlier versions
            "classes": len(summary.class_names),
            "class_names": sha256("\0".join(summary.class_names).encode()).hexdigest(),
            "listing": summary.fingerprint,
        },
        "noise": noise,
        "artifact": job.artifact.digest if job.artifact else None,
        "class_map": dict(job.class_map),
        "handling": asdict(job.options.handling),
        "partial": partial.card() if partial else None,
    }
    workers = Workers(
        options.num_workers, on_gpu, options.compile, options.precision, options.at_least, options.delta_table
    )
    return Plan(surveyed, config, workers, card, partial)


def _partial(job: Job, summary: Summary) -> Partial | None:
    """Returns which classes are protected, if not all, and says so. Raises UserError where there is none of them."""
    if job.only is None:
        return None
    only = job.only.among(summary.class_names)
    if set(only) <= set(summary.unseen):
        raise UserError(f"--only: the input has no image of these classes: {first_names(only)}")
    partial = Partial(tuple(only), job.options.input.others)
    what = "pass through without noise" if partial.others == "pass" else "are left out"
    say(f"protect: {len(only):,} of {len(summary.class_names):,} classes: {first_names(only)}; the others {what}")
    return partial


def run(job: Job, plan: Plan) -> Manifest:
    """Crafts the noise unless it is there, applies it to every image, and commits."""
    output, summary = job.output, plan.survey.summary
    noise_uri = join(output.uri, NOISE)
    if job.artifact is not None:
        job.artifact.save(noise_uri)
    elif not NoiseArtifact.is_at(noise_uri):
        _craft(plan, noise_uri, output.uri)
    card = NoiseArtifact.load_card(noise_uri)
    if job.artifact is None and card.record["stopped_by"] == "round limit":
        say(
            f"craft: stopped at the bound of {plan.config.options['max_rounds']} rounds with error "
            f"{card.record['error']:.3f}: the goal, {card.record['goal']}, was not reached"
        )
    method = METHODS[plan.config.method]
    check = RunningCheck(plan.survey, noise_uri, method, plan.partial) if _is_checked(job, plan) else None
    totals = Totals()
    for result in apply(plan.survey, noise_uri, output.uri, plan.workers.use_gpu, job.class_map, plan.partial):
        totals.add(result)
    if not totals.protected:
        raise RunError(f"nothing could be protected: {'; '.join(totals.rejections())}")
    for rejection in totals.rejections():
        say(f"rejected: {rejection}")
    say("preview: reading some images again")
    page = preview(
        plan.survey,
        output.uri,
        totals.looks,
        protected=totals.protected,
        origin={"noise": _described(plan.config), "encoding": [job.options.handling.encoding]},
        notes=[
            *[CONTROL] * (plan.config.method == "random"),
            *[f"{totals.passed:,} images of other classes pass through without noise"] * bool(totals.passed),
        ],
    )
    checked = check.result() if check else None
    if check:
        say(f"check: {checked or f'it takes two classes of {LEAST} images'}")
    weak = _weakness(card, checked)
    for why in weak:
        say(f"weak: {why}")
    facts = {
        "config": {"input": job.input, "output": output.uri, **{k: v for k, v in job.given.items() if k != "owner"}},
        "noise": plan.card["noise"],
        "crafting": {key: card.record.get(key) for key in ("stopped_by", "error", "seconds", "used")},
        "check": asdict(checked) if checked else None,
        "weak": weak,
        "artifact": {"card_sha256": card.digest},
        "listing_fingerprint": summary.fingerprint,
        "class_names": summary.class_names,
        "preview": {"sha256": output.write_preview(page)},
        "dropped_classes": summary.dropped,
        "partial": plan.partial.to_json() if plan.partial else None,
        **totals.facts(),
        "versions": versions(),
    }
    return Manifest(output.uri, output.commit(summary.count, totals.records, facts, summary.left_out))


def _is_checked(job: Job, plan: Plan) -> bool:
    """A noise that comes from elsewhere was checked there; a control is known to be none."""
    return job.options.workers.check == "quick" and job.artifact is None and plan.config.method != "random"


def _weakness(card: NoiseArtifact, checked: SelfCheck | None) -> list[str]:
    """Returns what speaks against the noise, in one line each."""
    found = []
    used = card.record.get("used")
    if used is not None and used < LEAST_USED:
        found.append(f"the noise takes {used:.0%} of its budget; --max-rounds lets it go on")
    if checked and checked.weak:
        larger = "" if METHODS[card.config.method].budget else " or a larger --epsilon"
        found.append(f"{checked}; more images, another --method{larger} may help")
    return found


def _craft(plan: Plan, noise_uri: str, output: str) -> None:
    if METHODS[plan.config.method].needs_data:
        craft(plan.survey, plan.config, plan.workers, noise_uri, join(output, WORK), output)
        return
    artifact = new_method(plan.config, Compute.detect("cpu")).craft()
    assert artifact is not None
    artifact.save(noise_uri)


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
            + "; it changes images that pass through, too" * bool(manifest.passed_through)
        )
    if manifest["noise"]["method"] == "random":
        say(f"warning: {CONTROL}")
    if manifest.protected and not manifest.max_abs_delta:
        say("warning: no image was changed: the budget is too small for images of this size")
    else:
        say(f"largest change of a pixel: {255 * manifest.max_abs_delta:.3g}/255")
    _report_names(manifest)
    say(f"committed: {manifest}; {manifest.uri}")


def _report_names(manifest: Manifest) -> None:
    names = manifest["names"]
    if names["extensions"]:
        say(f"names: {', '.join(f'{change} ({count:,})' for change, count in names['extensions'].items())}")
    if names["changed"]:
        key, name = next(iter(names["first"].items()))
        listed = "them" if names["changed"] == len(names["first"]) else f"{len(names['first']):,}"
        why = "two images would share them, or some system refuses them"
        say(f"names: {names['changed']:,} changed: {why}, such as {key} -> {name}; {MANIFEST} lists {listed}")


def next_steps(job: Job) -> list[str]:
    """Returns lines that say where to look, and the commands that check the output and evaluate it."""
    output, read = job.output.uri, job.options.input.source
    compared = read
    if job.options.input.only is not None and job.options.input.others == "leave-out":
        compared = {**read, "classes": job.options.input.only}  # the output holds no other
    test = {"test": "CLEAN_TEST_IMAGES"}
    if job.input in TEST_OF:
        test = {"test": TEST_OF[job.input]}
    elif "test" in job.source.splits:
        test = {"test": job.input, "test_split": "test"}
    verify = command_line("verify", {"output": output, "input": job.input, **read})
    evaluate = command_line(
        "evaluate", {"clean": job.input, "protected": output, **test, "output": "REPORT", **compared}
    )
    return [
        f"look at: {join(output, PREVIEW)} (it shows originals: do not publish it)",
        f"next: {verify}",
        f"next: {evaluate}",
    ]


def _described(config: NoiseConfig) -> list[str]:
    network, own = config.options.get("surrogate"), METHODS[config.method].budget
    return [
        config.method,
        config.granularity,
        str(config.budget) if own else f"epsilon {config.budget}",
        *([f"surrogate {network} at {config.image_size}x{config.image_size}"] if network else []),
        *([] if own else [f"delta on {config.canvas}x{config.canvas}"]),
    ]
