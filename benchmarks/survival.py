"""What survives of a noise when the images go through what published photos go through.

    python benchmarks/survival.py --data cifar10 --output out/survival

``cifar10`` is a folder with ``train.parquet`` and ``test.parquet`` (``image``, ``label``). Every recipe's noise is
crafted, and a victim trained on the images that carry it after each countermeasure; without Ray. One JSON file a run is
written as it ends, and a finished run is not run again. A recipe is chosen with ``--held-out``: on training images that
neither noise nor victim has seen, so that the test images choose nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))

import ue_ray
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.evaluation.victim import purified, purified_test, run_victim
from ue_ray.images.labelled import LabelledImages
from ue_ray.images.quality import psnr, ssim
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import open_noise
from ue_ray.protection.presets import PRESETS, preset
from ue_ray.storage.inputs.blocks import Block, decode_block
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Sample, decode_rows

# Options of protect_dataset.py; None: the images as they are. First those of the table, then others to choose among.
TABLE: dict[str, dict[str, Any] | None] = {
    "clean": None,
    "plain": {"method": "error-minimizing"},
    **{f"photos-{strength}": preset("photos", strength) for strength in PRESETS["photos"]},
}
GRAY = {"epsilon": "16/255", "max_rounds": 30}
MOSTLY_GRAY = GRAY | {"canvas": 16, "views": "crop,grayscale,grayscale"}
RECIPES = TABLE | {
    **{
        f"brightness-{level}": preset("photos", "mid") | {"epsilon": f"{level}/255", "tint": "brightness"}
        for level in (12, 16)
    },
    "canvas-8": {"canvas": 8},
    "canvas-16": {"canvas": 16},
    "canvas-16-views": {"canvas": 16, "views": "crop,flip,jpeg,resize", "max_rounds": 30},
    "canvas-16-gray": GRAY | {"canvas": 16, "views": "grayscale"},
    "canvas-16-third-gray": GRAY | {"canvas": 16, "views": "crop,flip,grayscale"},
    "canvas-16-mostly-gray": MOSTLY_GRAY,
    "canvas-16-mostly-gray-12": MOSTLY_GRAY | {"epsilon": "12/255"},
    "canvas-16-mostly-gray-8": MOSTLY_GRAY | {"epsilon": "8/255"},
    "canvas-8-gray": GRAY | {"canvas": 8, "views": "crop,flip,grayscale"},
}


@dataclass(frozen=True)
class Survival:
    """What to measure."""

    data: str
    """A folder with train.parquet and test.parquet."""
    output: str
    """Where runs, noises and results.json are written."""
    recipes: str = ",".join(TABLE)
    countermeasures: str = "none,resize-half,jpeg-95,jpeg-75,jpeg-50,grayscale"
    per_class: int = 500
    """Training images of each class: the first ones, which subset.py cuts out too."""
    test_per_class: int | None = None
    """Test images of each class: the first ones. Default: all."""
    held_out: int = 0
    """Judge on so many further training images of each class instead of the test images."""
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.05
    seeds: str = "0"
    """Each victim is trained once with each; the noise is crafted once, with seed 0."""
    photos: str | None = None
    """Any input of protect_dataset.py: PSNR and SSIM are those of its first 100 images."""
    processes: int = 2
    """Victims at a time, with one thread each."""


@dataclass(frozen=True)
class Run:
    """One victim, and where its result lies."""

    options: Survival
    recipe: str
    countermeasure: str
    seed: int

    @property
    def file(self) -> Path:
        return Path(self.options.output, "runs", f"{self.recipe}.{self.countermeasure}.{self.seed}.json")


@cache
def data_set(data: str, split: str, skip: int, count: int | None) -> tuple[Block, list[str]]:
    """The images of each class from ``skip`` on, ``count`` of them or all, decoded; and the classes' names."""
    source = open_source(str(Path(data, f"{split}.parquet")))
    listing = source.list()
    labels = listing.labels()
    end = None if count is None else skip + count
    rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[skip:end] for label in np.unique(labels)]))
    return decode_block(source, listing.table, rows, side=32), listing.class_names


def craft(options: Survival, recipe: str) -> NoiseArtifact:
    """The recipe's noise, crafted as ``protect_dataset.py`` would, and kept under the output."""
    folder = Path(options.output, "noise", recipe)
    if (folder / "card.json").exists():
        return NoiseArtifact.load(str(folder))
    block, names = data_set(options.data, "train", 0, options.per_class)
    chosen = RECIPES[recipe] or {}
    artifact = ue_ray.craft(block.rows.images, block.rows.labels, class_names=names, device="cpu", **chosen)
    artifact.save(str(folder))
    return artifact


def train_set(options: Survival, recipe: str) -> LabelledImages:
    """The training images, carrying the recipe's noise."""
    block, names = data_set(options.data, "train", 0, options.per_class)
    images = block.rows.images
    if RECIPES[recipe] is not None:
        noise = open_noise(craft(options, recipe), Compute.detect("cpu"))
        images = np.stack(noise.protect(list(images), block.rows.labels, block.rows.sample_ids))
    return replace(block.rows, images=images, class_names=names)


def unseen(options: Survival) -> LabelledImages:
    """What victims are judged on: the test images, or training images held out."""
    block, names = (
        data_set(options.data, "train", options.per_class, options.held_out)
        if options.held_out
        else data_set(options.data, "test", 0, options.test_per_class)
    )
    return replace(block.rows, class_names=names)


def train(run: Run) -> dict[str, Any]:
    torch.set_num_threads(1)
    options, countermeasure = run.options, parse(run.countermeasure)
    test = unseen(options)
    plan = TrainingPlan("resnet9", options.epochs, run.seed, options.batch_size, options.learning_rate)
    entry = run_victim(
        purified(train_set(options, run.recipe), countermeasure),
        purified_test(test, countermeasure),
        run.recipe,
        run.countermeasure,
        plan,
        Compute.detect("cpu"),
    )
    run.file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = run.file.with_suffix(".part")
    unfinished.write_text(json.dumps(entry))
    unfinished.rename(run.file)
    return entry


def likeness(options: Survival, recipe: str) -> dict[str, float]:
    """How like their originals photos stay that carry the recipe's noise: means over the photos and all classes."""
    source = open_source(str(options.photos))
    listing = source.list()
    noise = open_noise(craft(options, recipe), Compute.detect("cpu"))
    classes = len(noise.config.class_names)
    photos = [entry.image for entry in decode_rows(source, listing.table.slice(0, 100)) if isinstance(entry, Sample)]
    carrying = noise.protect(photos, np.arange(len(photos)) % classes, [""] * len(photos))
    pairs = list(zip(photos, carrying, strict=True))
    return {
        "photos": len(photos),
        "psnr": float(np.mean([psnr(*pair) for pair in pairs])),
        "ssim": float(np.mean([ssim(*pair) for pair in pairs])),
    }


def table(options: Survival, entries: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: a row a recipe, a column a countermeasure, final / peak in per cent, the mean over seeds."""
    countermeasures = options.countermeasures.split(",")
    yield f"| noise | {' | '.join(countermeasures)} |"
    yield "|---" * (1 + len(countermeasures)) + "|"
    for recipe in options.recipes.split(","):
        cells = []
        for name in countermeasures:
            found = [entry for entry in entries if (entry["train_set"], entry["countermeasure"]) == (recipe, name)]
            final, peak = (
                100 * float(np.mean([entry[f"{of}_test_accuracy"] for entry in found])) for of in ("final", "peak")
            )
            cells.append(f"{final:.1f} / {peak:.1f}")
        yield f"| {recipe} | {' | '.join(cells)} |"


def main(options: Survival) -> None:
    recipes = options.recipes.split(",")
    runs = [
        Run(options, recipe, name, int(seed))
        for seed in options.seeds.split(",")
        for recipe in recipes
        for name in options.countermeasures.split(",")
    ]
    for recipe in recipes:
        if RECIPES[recipe] is not None:
            record = craft(options, recipe).record
            print(f"{recipe}: {len(record['rounds'])} rounds, error {record['error']}, stopped by "
                  f"{record['stopped_by']}, {record.get('seconds', 0):.0f} s", flush=True)  # fmt: skip
    waiting = [run for run in runs if not run.file.exists()]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for number, entry in enumerate(pool.imap_unordered(train, waiting), 1):
            print(f"{number} of {len(waiting)}: {entry['train_set']} after {entry['countermeasure']}: "
                  f"{100 * entry['final_test_accuracy']:.1f} %, {entry['seconds']:.0f} s", flush=True)  # fmt: skip
    entries = [json.loads(run.file.read_text()) for run in runs]
    result = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine(),
        "versions": versions(),
        "options": asdict(options),
        "recipes": {recipe: RECIPES[recipe] for recipe in recipes},
        "likeness": {of: likeness(options, of) for of in recipes if options.photos and RECIPES[of] is not None},
        "n": len(options.seeds.split(",")),
        "runs": entries,
    }
    Path(options.output, "results.json").write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(table(options, entries)))
    for recipe, of in result["likeness"].items():
        print(f"{recipe}: PSNR {of['psnr']:.1f} dB, SSIM {of['ssim']:.3f} on {of['photos']} photos")


if __name__ == "__main__":
    main(tyro.cli(Survival, description=__doc__))
