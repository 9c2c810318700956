"""What a user may say of a protection: flags of ``ue-ray protect``, keywords of ``ue_ray.protect``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any, Literal, get_type_hints

from ue_ray.errors import Section, UserError, choose, flag, option, option_names, with_options
from ue_ray.noise.config import DEFAULT_METHOD, NoiseOptions
from ue_ray.noise.methods import METHODS, noise_config
from ue_ray.protection.partial import Others
from ue_ray.protection.presets import preset
from ue_ray.storage.inputs.options import SourceOptions
from ue_ray.storage.inputs.samples import Handling
from ue_ray.storage.outputs.output import Mode

DeltaTable = Literal["auto", "replicated", "actors"]


@dataclass(frozen=True, kw_only=True)
class InputOptions(SourceOptions):
    """The images that are protected."""

    only: str | Sequence[str] | None = option(
        "Protect these classes (people, users) alone, named as for --classes; their numbers stay. Default: all.", None
    )
    others: Others = option(
        "With --only: pass the other images on without noise, encoded as all are, or leave-out. Default: pass.", "pass"
    )
    max_megapixels: int = option("Larger images are rejected. Default: 150.", 150)
    keep_metadata: bool = option(
        "Keep each photo's EXIF (where it was taken, too) and XMP. Default: they are dropped.", False
    )


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How the protected images are written."""

    mode: Mode = option(
        "When the output is not empty: refuse; resume (go on with what the same command left, or do nothing if it was "
        "finished); overwrite (remove what this tool wrote there). Default: refuse.",
        "refuse",
    )
    format: str = option("Layout: parquet, imagefolder, webdataset or recordio. Default: parquet.", "parquet")
    encoding: str = option(
        "png; webp (lossless, smaller); or jpeg, which takes part of the noise away and breaks the budget: both are "
        "measured and reported. Default: png.",
        "png",
    )
    jpeg_quality: int = option("1 to 100. Default: 95.", 95)


@dataclass(frozen=True, kw_only=True)
class NoiseSource:
    """Where the noise comes from, if not from the options below."""

    preset: str | None = option(
        "photos: coarse gratings, which outlive JPEG and resizing, for images to be published. Options given beside "
        "it win.",
        None,
    )
    strength: str | None = option(
        "Of the preset: low (8/255), mid (12/255) or high (16/255); docs/survival.md says what each keeps and how it "
        "looks. Default: mid.",
        None,
    )
    artifact: str | None = option("Apply this noise artifact (another output's noise/ folder); craft nothing.", None)
    class_map: str | None = option(
        'With --artifact: a JSON file, {"class of the input": "class that the noise was crafted for", ...}. Default: '
        "the class of the same name.",
        None,
    )


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Who does the work."""

    num_workers: int = option("Train workers that craft together. Default: 1.", 1)
    min_workers: int | None = option(
        "Go on with so few where a lost worker is not replaced. Default: --num-workers, so wait.", None
    )
    use_gpu: Literal["auto", "yes", "no"] = option(
        "A GPU for each worker. auto: where the cluster has GPUs now; yes also waits, half an hour, for nodes that are "
        "still to be started. Default: auto.",
        "auto",
    )
    compile: bool = option(
        "torch.compile the surrogate: pays for runs of minutes (needs a C++ compiler on CPUs).", False
    )
    precision: Literal["auto", "float32"] = option(
        "auto: bfloat16 where the hardware multiplies it, which depends on the machine; float32. Default: auto.",
        "auto",
    )
    delta_table: DeltaTable = option(
        "Where class-wise deltas are while they are crafted: replicated in each worker, or in actors, which hold them "
        "once. Default: auto, in actors when they take more than 256 MiB (4 GiB on GPUs).",
        "auto",
    )

    check: Literal["quick", "off"] = option(
        "quick: while a noise that was made here is applied, a small network is trained on some of the images with it "
        "and another without, and both are judged on clean ones kept back; off. Default: quick.",
        "quick",
    )

    def __post_init__(self) -> None:
        if self.num_workers < 1:
            raise UserError(f"--num-workers is {self.num_workers}: it must be at least 1")
        if self.min_workers is not None and not 1 <= self.min_workers <= self.num_workers:
            raise UserError(f"--min-workers is {self.min_workers}: it must be from 1 to --num-workers")

    @property
    def at_least(self) -> int | None:
        """Returns the number of workers to go on with; None where all are waited for."""
        return self.min_workers if self.min_workers != self.num_workers else None


FOR_CRAFTING = ("num_workers", "min_workers", "compile", "precision", "delta_table")  # of the workers' options
_ANY_SIDE = 1 << 30  # of images not seen yet: no patch is too large for them


@dataclass(frozen=True)
class ProtectOptions:
    """All of them, resolved. ``noise``: what is given of ``NoiseOptions`` and of the method's own, a preset's values
    among them; the data decides the rest."""

    input: InputOptions
    output: OutputOptions
    source: NoiseSource
    workers: WorkerOptions
    noise: Mapping[str, Any]

    def __post_init__(self) -> None:
        _ = self.handling  # refuses a format or an encoding that there is not

    @property
    def handling(self) -> Handling:
        return Handling(
            self.output.format,
            self.output.encoding,
            self.output.jpeg_quality,
            self.input.keep_metadata,
            self.input.max_megapixels * 1_000_000,
        )


def noise_option_names() -> list[str]:
    """Returns the names of the options of any noise, then those of the methods' own."""
    sections = [NoiseOptions, *METHODS.options().values()]
    return list(dict.fromkeys(name for section in sections for name in option_names(section)))


def protect_options(given: Mapping[str, Any]) -> ProtectOptions:
    """Sorts the options ``given`` (None: not given) by what they are about, and adds a preset's values.

    Raises UserError for a name that there is not, a value that makes no sense, and an option that would be ignored.
    """
    given = {name: value for name, value in given.items() if value is not None}
    noise_names = noise_option_names()
    sections: tuple[type, ...] = (InputOptions, OutputOptions, NoiseSource, WorkerOptions)
    known = [name for section in sections for name in option_names(section)] + noise_names
    for name in given:
        choose(name, known, "option")

    def section(kind: type[Section]) -> Section:
        return with_options(kind, {name: given[name] for name in option_names(kind) if name in given})

    source = section(NoiseSource)
    noise = _preset_values(source) | {name: value for name, value in given.items() if name in noise_names}
    if not {"method", "cells"} & noise.keys() and set(FOR_CRAFTING) & given.keys():
        noise["method"] = "error-minimizing"  # whoever says how to craft wants to
    options = ProtectOptions(section(InputOptions), section(OutputOptions), source, section(WorkerOptions), noise)
    _refuse_ignored(options, given)
    return options


def _preset_values(source: NoiseSource) -> dict[str, Any]:
    if source.preset is None:
        if source.strength is not None:
            raise UserError("--strength goes with --preset: name one, or give the options themselves")
        return {}
    return preset(source.preset, source.strength or "mid")


def _refuse_ignored(options: ProtectOptions, given: Mapping[str, Any]) -> None:
    """Raises UserError for an option that would change nothing."""
    if "jpeg_quality" in given and options.output.encoding != "jpeg":
        raise UserError("--jpeg-quality is for --encoding jpeg")
    if "others" in given and options.input.only is None:
        raise UserError("--others goes with --only: without it all classes are protected")
    if options.source.artifact is not None:
        for name in given:
            if name in ("preset", "strength", "check", *FOR_CRAFTING, *noise_option_names()):
                raise UserError(f"{flag(name)} does not go with --artifact, whose noise is made already")
        return
    if options.source.class_map is not None:
        raise UserError("--class-map goes with --artifact: noise is crafted for the input's own classes")
    config = noise_config(options.noise, ("any", "other"), 2, _ANY_SIDE)
    if not METHODS[config.method].needs_data:
        for name in given:
            if name in FOR_CRAFTING:
                raise UserError(f"{flag(name)} is for crafting: method {config.method} crafts nothing")
    if "surrogate" not in config.options:
        for name in ("compile", "precision", "delta_table"):
            if name in given:
                raise UserError(f"{flag(name)} is for crafting on a network: method {config.method} has none")
    if "delta_table" in given and config.granularity != "class-wise":
        raise UserError("--delta-table is for class-wise deltas")


def noise_sections() -> dict[str, type]:
    """Returns the options of a noise for the command line, by title: of any, then the methods' own, each once."""
    owners: dict[str, list[str]] = {}
    entries: dict[str, tuple[str, Any, Any]] = {}
    for name, section in METHODS.options().items():
        hints = get_type_hints(section)
        for entry in fields(section):
            owners.setdefault(entry.name, []).append(name)
            entries[entry.name] = (entry.name, hints[entry.name], field(metadata=entry.metadata))
    own: dict[str, list[Any]] = {}
    for name, methods in owners.items():
        others = f"{', '.join(methods[:-1])} or " if methods[1:] else ""
        own.setdefault(f"Method {others}{methods[-1]}", []).append(entries[name])
    chosen = option(f"{', '.join(METHODS)}. {DEFAULT_METHOD}", None)
    noise = make_dataclass("Noise", [("method", str | None, chosen)], bases=(NoiseOptions,), frozen=True, kw_only=True)
    return {"Noise": noise} | {title: make_dataclass("MethodOptions", options) for title, options in own.items()}
