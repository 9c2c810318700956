"""The main job: list -> craft -> apply -> commit."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from typing import Any, Literal, get_args

from ue_ray.distributed import cluster
from ue_ray.distributed.applying.apply import apply
from ue_ray.distributed.crafting.craft import DeltaTable, Workers, craft
from ue_ray.distributed.survey import Summary, survey
from ue_ray.errors import UserError
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import versions
from ue_ray.learning.models import check_model
from ue_ray.noise.budget import Budget, Norm, parse_epsilon
from ue_ray.noise.config import (
    Granularity,
    NoiseConfig,
    Schedule,
    Solver,
    class_wise_batch_size,
    default_parameters,
)
from ue_ray.noise.methods import NoiseArtifact, check_method
from ue_ray.noise.methods.random import Random
from ue_ray.protection.class_map import ClassMap, labels_for_artifact, read_class_map
from ue_ray.protection.presets import preset
from ue_ray.protection.shard import surviving_share
from ue_ray.storage.filesystem import absolute, join
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Handling
from ue_ray.storage.outputs.layout import NOISE, WORK
from ue_ray.storage.outputs.output import Mode, Output


@dataclass(frozen=True)
class ProtectConfig:
    """Protect a collection of labelled images with error-minimizing noise.

    Options left out take the paper's values for the method and granularity (Huang et al., ICLR 2021, Appendix B; M as
    for CIFAR-10), the surrogate's learning rate the authors' code's. The online schedule, not the paper's, has its own.
    """

    input: str
    """A folder of class folders, Parquet (image, label), or a built-in data set: mnist5k, cifar10, cifar100."""
    output: str
    """Where to write: an empty or absent folder, unless --mode says otherwise."""
    labels: str | None = None
    """Where labels come from. Of a folder: a pattern of keys such as users/{label}/*, or a .csv or .parquet table with
    the columns key and label. Of Parquet: the label column. Default: the top folder; the column label."""
    mode: Mode = "refuse"
    """When the output is not empty: refuse; resume (go on with what the same command left, or do nothing if it was
    finished); overwrite (remove what this tool wrote there)."""
    format: str = "parquet"
    """How the output is laid out: parquet, imagefolder or webdataset."""
    encoding: str = "png"
    """png; webp (lossless, smaller); or jpeg, which takes part of the noise away and breaks the budget: both are
    measured and reported."""
    jpeg_quality: int = 95
    keep_metadata: bool = False
    """Keep each photo's EXIF (where it was taken, too) and XMP. Default: they are dropped."""
    max_megapixels: int = 150
    """Larger images are rejected."""
    preset: str | None = None
    """photos: a delta that outlives JPEG and resizing, for images to be published. Options given beside it win."""
    strength: str = "mid"
    """Of the preset: low (8/255; PSNR 32 dB, SSIM 0.96), mid (12/255; 31 dB, 0.95) or high (16/255; 28 dB, 0.92). From
    mid on it outlives grayscale too (docs/survival.md)."""
    method: str = "error-minimizing"
    """error-minimizing, error-maximizing or random."""
    granularity: Granularity = "class-wise"
    """One delta a class, or one an image."""
    schedule: Schedule = "online"
    """Sample-wise error-minimizing only: online keeps no table; alternating is Algorithm 1 to the letter."""
    solver: Solver = "pgd"
    """Sample-wise error-minimizing only: l-bfgs minimises the penalised loss of Eq. 5, by Adam (Appendix I)."""
    epsilon: str = "8/255"
    """The budget, of a range of [0, 1]."""
    norm: Norm = "linf"
    """The budget's norm."""
    surrogate: str | None = None
    """The network that crafts the noise. Default: resnet18 where there is a GPU, resnet9 where there is none."""
    num_workers: int = 1
    """Train workers that craft together."""
    min_workers: int | None = None
    """Go on with so few where a lost worker is not replaced. Default: --num-workers, so wait."""
    delta_table: DeltaTable = "auto"
    """Where class-wise deltas are while they are crafted: replicated in each worker, or in actors, which hold them
    once. auto: in actors when they take more than 256 MiB (4 GiB on GPUs)."""
    use_gpu: Literal["auto", "yes", "no"] = "auto"
    """A GPU for each worker. auto: where the cluster has GPUs now; yes also waits for nodes still to be started."""
    seed: int = 0
    image_size: int | None = None
    """The side at which the surrogate sees images. Default: their own, at most 224."""
    canvas: int | None = None
    """The side of the square on which delta lives, upsampled to the image. Default: image-size, or patch."""
    patch: int | None = None
    """Cover a square of so many of the image-size pixels a side, at a random place in each image, instead of all."""
    views: str | None = None
    """Random transforms of the perturbed image before the surrogate sees it, by commas: crop, flip, grayscale, jpeg,
    resize; or none. Default: none; crop,flip for the online schedule."""
    artifact: str | None = None
    """Apply this noise artifact (another output's noise/ folder) and craft nothing."""
    class_map: str | None = None
    """With --artifact: a JSON file, {"class of the input": "class that the noise was crafted for", ...}. Default: the
    class of the same name."""
    batch_size: int | None = None
    """Images of a global batch, over all workers. Default: class-wise a twentieth of those crafted on; online 64."""
    learning_rate: float = 0.1
    """The surrogate's."""
    pgd_steps: int | None = None
    """T of Algorithm 1."""
    step_size: str | None = None
    """alpha, such as 0.8/255."""
    weight_steps: int | None = None
    """M of Algorithm 1."""
    stop_error: float | None = None
    """lambda of Algorithm 1."""
    data_fraction: float | None = None
    """The share of each class that the noise is crafted on."""
    max_rounds: int | None = None
    """The bound on rounds: a run that never reaches stop-error ends there, and says so."""
    compile: bool = False
    """torch.compile the surrogate: pays for runs of minutes (needs a C++ compiler on CPUs)."""


def protect(config: ProtectConfig) -> dict[str, Any]:
    """Run the job and return the committed manifest.

    Raises UserError for a user's mistake, and CommitError when the counts do not add up; then nothing is committed.
    """
    config = with_preset(config)
    if config.mode not in get_args(Mode):
        raise UserError(f"mode is {config.mode!r}: choose one of {', '.join(get_args(Mode))}")
    check_method(config.method, config.granularity)
    if config.surrogate is not None:
        check_model(config.surrogate)
    if config.num_workers < 1:
        raise UserError(f"num-workers is {config.num_workers}: it must be at least 1")
    if config.min_workers is not None and not 1 <= config.min_workers <= config.num_workers:
        raise UserError(f"min-workers is {config.min_workers}: it must be from 1 to --num-workers")
    Budget(parse_epsilon(config.epsilon), config.norm)
    if config.artifact is not None:
        _refuse_crafting_options(config)
    elif config.class_map is not None:
        raise UserError("--class-map goes with --artifact: noise is crafted for the input's own classes")
    handling = Handling(
        config.format, config.encoding, config.jpeg_quality, config.keep_metadata, config.max_megapixels * 1_000_000
    )
    source = open_source(config.input, config.labels)
    output = Output(absolute(config.output))
    if f"{output.uri}/".startswith(f"{absolute(config.input).rstrip('/')}/"):
        raise UserError(f"{config.output}: lies in the input, which would then hold it: choose a place outside")
    output.check(config.mode)
    given = NoiseArtifact.load(absolute(config.artifact)) if config.artifact else None
    class_map = read_class_map(absolute(config.class_map)) if config.class_map else {}
    cluster.connect()
    workers = Workers(config.num_workers, _use_gpu(config), config.compile, _at_least(config), config.delta_table)
    found = survey(source, handling)
    summary = found.summary
    if given is not None:
        labels_for_artifact(summary.class_names, given.config.class_names, class_map)
    say(f"input: {config.input}: {summary.count:,} images in {len(summary.class_names)} classes")
    noise_config = given.config if given else _noise_config(config, summary, workers.use_gpu)
    say(_described(noise_config))
    done = output.begin(config.mode, _card(summary, noise_config, handling, given, class_map))
    if done is not None:
        say(f"nothing to do: this run is committed already, {_counts(done)}; {output.uri}")
        return done
    noise_uri = join(output.uri, NOISE)
    if given is not None:
        given.save(noise_uri)
    elif config.method == "random":
        Random(noise_config, Compute.detect("cpu")).seeded().save(noise_uri)
    elif not NoiseArtifact.is_at(noise_uri):
        craft(found, noise_config, workers, noise_uri, join(output.uri, WORK))
    card = NoiseArtifact.load_card(noise_uri)
    if given is None and card.record["stopped_by"] == "round limit":
        say(
            f"craft: stopped at the bound of {noise_config.max_rounds} rounds with error {card.record['error']:.3f}: "
            f"the goal, {card.record['goal']}, was not reached"
        )
    results = list(apply(found, noise_uri, output.uri, workers.use_gpu, class_map))
    manifest = output.commit(
        summary.count,
        [result.record for result in results],
        {
            "config": asdict(config),
            "noise": noise_config.to_json() | {"class_names": len(noise_config.class_names)},
            "crafting": {key: card.record.get(key) for key in ("stopped_by", "error", "seconds")},
            "artifact": {"card_sha256": card.digest},
            "listing_fingerprint": summary.fingerprint,
            "class_names": summary.class_names,
            "max_abs_delta": max((result.largest_change for result in results), default=0.0),
            "surviving_share": surviving_share(results),
            "notes": dict(sum((Counter(result.notes) for result in results), Counter[str]())),
            "versions": versions(),
        },
    )
    for note, count in manifest["notes"].items():
        say(f"note: {note}: {count:,} images")
    if not handling.lossless:
        say(
            f"warning: jpeg kept {100 * manifest['surviving_share']:.0f} % of the noise, and breaks the budget: the "
            f"largest change is {255 * manifest['max_abs_delta']:.0f}/255"
        )
    say(
        "warning: no image was changed: the budget is too small for images of this size"
        if manifest["protected"] and not manifest["max_abs_delta"]
        else f"largest change of a pixel: {255 * manifest['max_abs_delta']:.3g}/255"
    )
    say(f"committed: {_counts(manifest)}; {output.uri}")
    return manifest


def _counts(manifest: dict[str, Any]) -> str:
    return f"{manifest['protected']:,} protected + {manifest['rejected']:,} rejected = {manifest['inputs']:,} inputs"


def _card(
    summary: Summary, config: NoiseConfig, handling: Handling, given: NoiseArtifact | None, class_map: ClassMap
) -> dict[str, Any]:
    """What a run does, to which input: only a run with the same card may go on with an output."""
    return {
        "input": {
            "images": summary.count,
            "classes": len(summary.class_names),
            "class_names": sha256("\0".join(summary.class_names).encode()).hexdigest(),
            "listing": summary.fingerprint,
        },
        "noise": config.to_json() | {"class_names": len(config.class_names)},
        "artifact": given.digest if given else None,
        "class_map": dict(class_map),
        "handling": asdict(handling),
    }


_parse: dict[str, Callable[[str], Any]] = {
    "step_size": parse_epsilon,
    "views": lambda text: () if text == "none" else tuple(name.strip() for name in text.split(",")),
}


def _use_gpu(config: ProtectConfig) -> bool:
    available = cluster.gpus()
    if config.use_gpu == "auto" and 0 < available < config.num_workers:
        raise UserError(
            f"{available:g} GPUs for {config.num_workers} workers: give --num-workers {available:g}, or --use-gpu no"
        )
    return config.use_gpu == "yes" or (config.use_gpu == "auto" and available > 0)


def _at_least(config: ProtectConfig) -> int | None:
    return config.min_workers if config.min_workers != config.num_workers else None


def with_preset(config: ProtectConfig) -> ProtectConfig:
    """``config`` with its preset's values for the options that were left at their defaults."""
    if config.preset is None:
        return config
    values = preset(config.preset, config.strength)
    return replace(config, **{name: value for name, value in values.items() if not _is_chosen(config, name)})


def _is_chosen(config: ProtectConfig, name: str) -> bool:
    """Whether the option is not at its default."""
    return getattr(config, name) != _DEFAULTS[name]


_DEFAULTS = {field.name: field.default for field in fields(ProtectConfig)}


CRAFTING_OPTIONS = (
    "preset", "method", "granularity", "schedule", "solver", "epsilon", "norm", "surrogate", "image_size", "canvas",
    "patch", "views", "batch_size", "learning_rate", "pgd_steps", "step_size", "weight_steps", "stop_error",
    "data_fraction", "max_rounds",
)  # fmt: skip


def _refuse_crafting_options(config: ProtectConfig) -> None:
    """An artifact brings its own: an option that would be ignored is a mistake."""
    for name in CRAFTING_OPTIONS:
        if _is_chosen(config, name):
            raise UserError(f"--{name.replace('_', '-')} does not go with --artifact, whose noise is made already")


def _noise_config(config: ProtectConfig, summary: Summary, use_gpu: bool) -> NoiseConfig:
    epsilon = parse_epsilon(config.epsilon)
    parameters = default_parameters(config.method, config.granularity, config.schedule, epsilon, config.solver)
    for name in parameters:
        chosen = getattr(config, name)
        if chosen is not None:
            parameters[name] = _parse[name](chosen) if name in _parse else chosen
    if config.batch_size is None and config.granularity == "class-wise":
        parameters["batch_size"] = class_wise_batch_size(round(summary.count * parameters["data_fraction"]))
    side = summary.side if config.image_size is None else config.image_size
    return NoiseConfig(
        method=config.method,
        granularity=config.granularity,
        schedule=config.schedule,
        solver=config.solver,
        budget=Budget(epsilon, config.norm),
        class_names=tuple(summary.class_names),
        image_size=side,
        canvas=config.canvas if config.canvas is not None else config.patch or side,
        patch=config.patch,
        surrogate=config.surrogate or ("resnet18" if use_gpu else "resnet9"),
        learning_rate=config.learning_rate,
        seed=config.seed,
        **parameters,
    )


def _described(config: NoiseConfig) -> str:
    surrogate = (
        ""
        if config.method == "random"
        else f", surrogate {config.surrogate} at {config.image_size}x{config.image_size}"
    )
    return (
        f"noise: {config.method}, {config.granularity}, epsilon {config.budget.epsilon * 255:g}/255 "
        f"({config.budget.norm}){surrogate}, delta on {config.canvas}x{config.canvas}"
    )


def say(text: str) -> None:
    """A line for the person at the console; standard output stays free for what a program would read."""
    print(text, file=sys.stderr, flush=True)
