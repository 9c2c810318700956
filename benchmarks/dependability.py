"""How much the protection of a method hangs on luck: noise seeds x victims x victim seeds, class by class.

    python benchmarks/dependability.py --data data --output out/dependability

``--data``: a folder with ``cifar10-jpeg75/{train,test}.parquet`` and ``cifar100/{train/*,test}.parquet``; the digits
come from a wheel. Without Ray. A JSON file a victim is written as it ends, and a finished victim is not trained again;
``summary.json`` and the printed table hold what has ended. One process a core, one thread each.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))

import ue_ray
from ue_ray.evaluation.recipes import RECIPES
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.evaluation.victim import RECOGNISED, run_victim
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Sample, decode_rows

PER_CLASS = 500


@dataclass(frozen=True)
class DataSet:
    """``folder``: below --data, or a built-in name. ``classes``: those taken, None: all. ``noise``: options of all
    methods; ``own``: of one."""

    folder: str
    classes: tuple[int, ...] | None
    noise: dict[str, Any]
    own: dict[str, dict[str, Any]]
    augmentation: str = "crop-flip"


def tenth(digit: int) -> DataSet:
    """Ten CIFAR-100 classes, one of each ten by number: 1 was developed on."""
    return DataSet("cifar100", tuple(range(digit, 100, 10)), {"epsilon": "8/255"}, {})


SETS = {
    "digits": DataSet(
        "mnist5k",
        None,
        {"epsilon": "16/255"},
        {"gratings": {"cells": 2}, "error-minimizing": {"views": "crop"}},
        "crop",
    ),
    "cifar10-5k": DataSet("cifar10-jpeg75", None, {"epsilon": "8/255"}, {}),
    **{f"cifar100-{digit}": tenth(digit) for digit in range(10)},
}


@dataclass(frozen=True)
class Options:
    data: str
    output: str
    sets: tuple[str, ...] = ("digits", "cifar10-5k", "cifar100-4", "cifar100-8")
    noise_seeds: int = 5
    victim_seeds: int = 2
    processes: int = 2
    epochs: int = RECIPES["fast"].epochs


@dataclass(frozen=True)
class Victim:
    """``method``: clean, or a method of noise; its victims are ``model`` with ``seed``."""

    data: str
    method: str
    granularity: str
    noise_seed: int
    model: str
    seed: int

    @property
    def file_name(self) -> str:
        return "-".join(map(str, asdict(self).values())) + ".json"


def main(options: Options) -> None:
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [victim for victim in victims(options) if not (folder / victim.file_name).exists()]
    jobs = [(options, victim) for victim in missing]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for count, line in enumerate(pool.imap_unordered(run, jobs), 1):
            print(f"{count}/{len(jobs)} {line}", flush=True)
    print(summary(folder))


def victims(options: Options) -> Iterator[Victim]:
    """All victims, what matters most first."""
    plain, white = "resnet9", "whitened-resnet9"
    seeds = range(options.victim_seeds)
    noises = range(options.noise_seeds)

    def of(method: str, form: str, noise: int, model: str) -> Iterator[Victim]:
        for data in options.sets:
            for seed in seeds:
                yield Victim(data, method, form, noise, model, seed)

    yield from of("clean", "none", 0, plain)
    for noise in noises:
        yield from of("gratings", "class-wise", noise, plain)
    yield from of("clean", "none", 0, white)
    for noise in noises:
        yield from of("error-minimizing", "class-wise", noise, plain)
        yield from of("gratings", "sample-wise", noise, plain)
        yield from of("gratings", "class-wise", noise, white)


def run(job: tuple[Options, Victim]) -> str:
    """Crafts, protects, trains; writes the victim's file and returns a line about it."""
    options, victim = job
    torch.set_num_threads(1)
    chosen = SETS[victim.data]
    train, test = loaded(options.data, chosen.folder, chosen.classes)
    made, facts = protected(train, chosen, victim)
    recipe = RECIPES["fast"]
    plan = TrainingPlan(
        victim.model, options.epochs, victim.seed, 128, recipe.learning_rate, chosen.augmentation, "fast"
    )
    entry = run_victim(made, test, victim.method, "none", plan, Compute.detect("cpu"))
    kept = {name: entry[name] for name in entry if name not in ("curve", "confusion")}
    kept["test_accuracies"] = [round(epoch["test_accuracy"], 4) for epoch in entry["curve"]]
    record = {**asdict(victim), **facts, **kept, "machine": machine(), "versions": versions()}
    (Path(options.output) / victim.file_name).write_text(json.dumps(record))
    return (
        f"{victim.file_name}: {100 * entry['final_test_accuracy']:.1f} / {100 * entry['peak_test_accuracy']:.1f}, "
        f"most {entry['recognised_most_informedness']:.2f}, {entry['seconds']:.0f} s"
    )


def protected(train: LabelledImages, chosen: DataSet, victim: Victim) -> tuple[LabelledImages, dict[str, Any]]:
    """Returns the images that carry the noise, with the seconds it took to craft and the share of the budget used."""
    if victim.method == "clean":
        return train, {}
    started = time.perf_counter()
    artifact = ue_ray.craft(
        train.images, train.labels, victim.method, class_names=train.class_names, granularity=victim.granularity,
        seed=victim.noise_seed, **chosen.noise, **chosen.own.get(victim.method, {}),
    )  # fmt: skip
    seconds = time.perf_counter() - started
    protector = ue_ray.Protector(artifact)
    images = np.stack(protector.protect(train.images, train.labels, train.sample_ids))
    middle = np.full_like(train.images[:500], 128)
    drawn = protector.protect(middle, train.labels[:500], train.sample_ids[:500])
    used = float(np.abs(np.stack(drawn).astype(int) - 128).mean() / 255 / artifact.config.budget.epsilon)
    return replace(train, images=images), {"craft_seconds": round(seconds, 2), "used_share": round(used, 3)}


@cache
def loaded(data: str, folder: str, classes: tuple[int, ...] | None) -> tuple[LabelledImages, LabelledImages]:
    """Returns the training images, at most ``PER_CLASS`` a class, and all test images."""
    if folder == "mnist5k":
        return decoded("mnist5k", classes, PER_CLASS), decoded("mnist5k-test", classes, None)
    root = Path(data) / folder
    train = root / "train" if (root / "train").is_dir() else root / "train.parquet"
    return decoded(str(train), classes, PER_CLASS), decoded(str(root / "test.parquet"), classes, None)


def decoded(uri: str, classes: tuple[int, ...] | None, most: int | None) -> LabelledImages:
    source = open_source(uri)
    listing = source.list()
    labels, names = listing.labels(), listing.class_names
    classes = classes or tuple(range(len(names)))
    rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[:most] for label in classes]))
    samples = [entry for entry in decode_rows(source, listing.table.take(rows)) if isinstance(entry, Sample)]
    return LabelledImages(
        np.stack([sample.image for sample in samples]),
        np.array([classes.index(sample.label) for sample in samples]),
        [sample.sample_id for sample in samples],
        [names[label] for label in classes],
    )


def summary(folder: Path) -> str:
    """Writes ``summary.json``; returns it as a Markdown table."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*-*.json")):
        record = json.loads(path.read_text())
        key = tuple(record[name] for name in ("data", "method", "granularity", "model"))
        groups.setdefault(key, []).append(record)
    lines = [
        "| data | noise | victim | n | final: mean, sd, worst | peak: mean, worst | classes recognised: mean, worst "
        "informedness |",
        "|---|---|---|---|---|---|---|",
    ]
    facts = []
    for (data, method, form, model), records in groups.items():
        final, peak = ([100 * each[f"{name}_test_accuracy"] for each in records] for name in ("final", "peak"))
        known = [each["recognised_classes"] for each in records]
        most = max(records, key=lambda each: each["recognised_most_informedness"])
        spread = stdev(final) if len(final) > 1 else 0.0
        noise = method if form == "none" else f"{method}, {form}"
        lines.append(
            f"| {data} | {noise} | {model} | {len(final)} | {fmean(final):.1f}, {spread:.1f}, {max(final):.1f} | "
            f"{fmean(peak):.1f}, {max(peak):.1f} | {fmean(known):.1f}, {most['recognised_most_informedness']:.2f} |"
        )
        facts.append(
            {
                "data": data, "noise": noise, "victim": model, "n": len(final), "final": final, "peak": peak,
                "recognised_classes": known, "recognised_above": RECOGNISED,
                "worst_class": [most["recognised_most"], most["recognised_most_informedness"]],
                "informedness": [each["informedness"] for each in records],
                "craft_seconds": [each.get("craft_seconds") for each in records],
                "used_share": [each.get("used_share") for each in records],
                "victim_seconds": [round(each["seconds"], 1) for each in records],
                "machine": records[0]["machine"], "versions": records[0]["versions"],
            }
        )  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(facts, indent=1))
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Options))
