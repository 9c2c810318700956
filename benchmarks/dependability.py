"""How much the protection of a method hangs on luck: noise seeds x victims x victim seeds, class by class; and what
takers may do about it (``--countermeasures``).

    python benchmarks/dependability.py --data data --output out/dependability
    python benchmarks/dependability.py --data data --output out/dependability --device cuda --processes 14 --minutes 8

``--data``: a folder with ``cifar10-jpeg75/{train,test}.parquet``, ``cifar100/{train/*,test}.parquet`` and
``tiny-imagenet10/{train,test}.parquet`` (64 pixels a side); the digits come from a wheel. Without Ray. A noise is
crafted once; a JSON file a victim is written as it ends, and a finished victim is not trained again; ``summary.json``
and the printed table hold what has ended. One process a core, one thread each; on a GPU the processes share it.
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import pickle
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))

import ue_ray
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.recipes import RECIPES
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.evaluation.victim import RECOGNISED, purified, purified_test, run_victim
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import METHODS
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Sample, decode_rows

PER_CLASS = 500
FAMILIES = ("resnet9", "vgg11", "whitened-resnet9")


@dataclass(frozen=True)
class DataSet:
    """``folder``: below --data, or a built-in name. ``classes``: those taken, None: all. ``noise``: options of all
    methods that have no budget of their own; ``own``: of one. ``per_class``: training images of a class at most.
    ``victims``: networks."""

    folder: str
    classes: tuple[int, ...] | None
    noise: dict[str, Any]
    own: dict[str, dict[str, Any]]
    augmentation: str = "crop-flip"
    per_class: int | None = PER_CLASS
    victims: tuple[str, ...] = FAMILIES


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
    "tiny-imagenet": DataSet("tiny-imagenet10", None, {"epsilon": "8/255"}, {}),
    "tiny-imagenet-coarse": DataSet("tiny-imagenet10", None, {"epsilon": "8/255"}, {"gratings": {"cells": 8}}),
    "cifar10": DataSet(
        "cifar10-jpeg75", None, {"epsilon": "8/255"}, {}, "crop-flip", None,
        ("resnet9-wide", "resnet18", "whitened-resnet9-wide"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    data: str
    output: str
    sets: tuple[str, ...] = ("digits", "cifar10-5k", "cifar100-4", "cifar100-8")
    noise_seeds: int = 5
    victim_seeds: int = 2
    victims: tuple[str, ...] = ()
    """networks; default: each data set's own"""
    methods: tuple[str, ...] = ("gratings", "error-minimizing")
    forms: tuple[str, ...] = ("class-wise", "sample-wise")
    countermeasures: tuple[str, ...] = ("none",)
    """of the takers, who try one at a time"""
    processes: int = 2
    device: str = "cpu"
    minutes: float = 1e6
    """after which no victim is begun"""
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
    epochs: int = RECIPES["fast"].epochs
    countermeasure: str = "none"

    @property
    def name(self) -> str:
        parts = [*map(str, asdict(self).values())]
        return "-".join(parts[:-1] if self.countermeasure == "none" else parts)

    @property
    def noise_name(self) -> str:
        return "-".join(map(str, (self.data, self.method, self.granularity, self.noise_seed)))


def main(options: Options) -> None:
    work(options, list(victims(options)))


def work(options: Options, chosen: list[Victim]) -> None:
    """Trains those of the victims that have not ended before, in their order, and writes the summary."""
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(options, victim) for victim in chosen if not (folder / f"{victim.name}.json").exists()]
    until = time.monotonic() + 60 * options.minutes
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        lines = pool.imap_unordered(run, jobs)
        for count in range(1, len(jobs) + 1):
            try:
                print(f"{count}/{len(jobs)} {lines.next(max(0.0, until - time.monotonic()))}", flush=True)
            except multiprocessing.TimeoutError:
                print(f"the time is over: {len(jobs) - count + 1} victims are left for the same command", flush=True)
                break
            except Exception as error:  # the others go on
                print(f"{count}/{len(jobs)} failed: {error!r}", flush=True)
    print(summary(folder))


def victims(options: Options) -> Iterator[Victim]:
    """All victims, what matters most first."""
    plan = [("clean", "none")]
    plan += [(method, form) for form in options.forms for method in options.methods]
    models = {name: options.victims or SETS[name].victims for name in options.sets}
    for place in range(max(map(len, models.values()))):
        for (method, form), countermeasure in product(plan, options.countermeasures):
            for noise in range(options.noise_seeds if method != "clean" else 1):
                for name in options.sets:
                    for model in models[name][place : place + 1]:
                        for seed in range(options.victim_seeds):
                            yield Victim(name, method, form, noise, model, seed, options.epochs, countermeasure)


def run(job: tuple[Options, Victim]) -> str:
    """Crafts, protects, trains; writes the victim's file and returns a line about it."""
    options, victim = job
    torch.set_num_threads(1)
    chosen = SETS[victim.data]
    train, test = loaded(options, victim.data)
    made, facts = protected(options, train, victim)
    taker = parse(victim.countermeasure)
    recipe = RECIPES["fast"]
    plan = TrainingPlan(
        victim.model, victim.epochs, victim.seed, 128, recipe.learning_rate, chosen.augmentation, "fast"
    )
    entry = run_victim(
        purified(made, taker), purified_test(test, taker), victim.method, victim.countermeasure, plan,
        Compute.detect(options.device),
    )  # fmt: skip
    kept = {name: entry[name] for name in entry if name not in ("curve", "confusion")}
    kept["test_accuracies"] = [round(epoch["test_accuracy"], 4) for epoch in entry["curve"]]
    record = {**asdict(victim), **facts, **kept, "machine": machine(), "versions": versions()}
    (Path(options.output) / f"{victim.name}.json").write_text(json.dumps(record))
    return (
        f"{victim.name}: {100 * entry['final_test_accuracy']:.1f} / {100 * entry['peak_test_accuracy']:.1f}, "
        f"most {entry['recognised_most_informedness']:.2f}, {entry['seconds']:.0f} s"
    )


def protected(options: Options, train: LabelledImages, victim: Victim) -> tuple[LabelledImages, dict[str, Any]]:
    """Returns the images that carry the noise, with the seconds it took to craft and the share of the budget used."""
    if victim.method == "clean":
        return train, {}
    artifact = crafted(options, train, victim)
    protector = ue_ray.Protector(artifact, options.device)
    parts = np.array_split(np.arange(len(train)), max(1, len(train) // 1000))
    images = np.concatenate([np.stack(protector.protect(*rows_of(train, part))) for part in parts])
    seconds = {"craft_seconds": round(artifact.record["craft_seconds"], 2)}
    if METHODS[victim.method].budget:
        return replace(train, images=images), seconds
    middle = np.full_like(train.images[:500], 128)
    drawn = protector.protect(middle, train.labels[:500], train.sample_ids[:500])
    used = float(np.abs(np.stack(drawn).astype(int) - 128).mean() / 255 / artifact.config.budget.epsilon)
    return replace(train, images=images), seconds | {"used_share": round(used, 3)}


def rows_of(data: LabelledImages, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    return data.images[rows], data.labels[rows], [data.sample_ids[row] for row in rows]


def crafted(options: Options, train: LabelledImages, victim: Victim) -> NoiseArtifact:
    """Returns the noise, which the first process that asks for it crafts while the others wait."""
    place = Path(options.output, "noise", victim.noise_name)
    place.parent.mkdir(exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            chosen = SETS[victim.data]
            started = time.perf_counter()
            artifact = ue_ray.craft(
                train.images, train.labels, victim.method, class_names=train.class_names, seed=victim.noise_seed,
                sample_ids=train.sample_ids, granularity=victim.granularity, device=options.device,
                **({} if METHODS[victim.method].budget else chosen.noise), **chosen.own.get(victim.method, {}),
            )  # fmt: skip
            artifact.record["craft_seconds"] = time.perf_counter() - started
            artifact.save(str(place))
    return NoiseArtifact.load(str(place))


@cache
def loaded(options: Options, name: str) -> tuple[LabelledImages, LabelledImages]:
    """Returns the training images, at most so many a class, and all test images; decoded once for all processes."""
    place = Path(options.output, "decoded", f"{name}.pickle")
    place.parent.mkdir(exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            chosen = SETS[name]
            root = Path(options.data) / chosen.folder
            train = root / "train" if (root / "train").is_dir() else root / "train.parquet"
            uris = (
                ("mnist5k", "mnist5k-test") if chosen.folder == "mnist5k" else (str(train), str(root / "test.parquet"))
            )
            limits = (chosen.per_class, None)
            place.write_bytes(pickle.dumps([decoded(u, chosen.classes, m) for u, m in zip(uris, limits, strict=True)]))
    train_set, test_set = pickle.loads(place.read_bytes())
    return train_set, test_set


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
    for path in sorted(folder.glob("*-*-*.json")):
        record = json.loads(path.read_text())
        key = tuple(record[name] for name in ("data", "method", "granularity", "model", "epochs", "countermeasure"))
        groups.setdefault(key, []).append(record)
    lines = [
        "| data | noise | countermeasure | victim | n | final: mean, sd, worst | peak: mean, worst | "
        "classes recognised: mean, worst informedness |",
        "|---|---|---|---|---|---|---|---|",
    ]
    facts = []
    for (data, method, form, model, epochs, taker), records in groups.items():
        final, peak = ([100 * each[f"{name}_test_accuracy"] for each in records] for name in ("final", "peak"))
        known = [each["recognised_classes"] for each in records]
        most = max(records, key=lambda each: each["recognised_most_informedness"])
        spread = stdev(final) if len(final) > 1 else 0.0
        noise = method if form == "none" else f"{method}, {form}"
        lines.append(
            f"| {data} | {noise} | {taker} | {model}, {epochs} epochs | {len(final)} | "
            f"{fmean(final):.1f}, {spread:.1f}, {max(final):.1f} | {fmean(peak):.1f}, {max(peak):.1f} | "
            f"{fmean(known):.1f}, {most['recognised_most_informedness']:.2f} |"
        )
        facts.append(
            {
                "data": data, "noise": noise, "countermeasure": taker, "victim": model, "epochs": epochs,
                "n": len(final),
                "final": final, "peak": peak,
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
