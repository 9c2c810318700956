"""Table 1 with ResNet-18 at the paper's size: what is crafted, and victims side by side; a part of gpu.py.

Victims are trained by the paper's recipe (SGD, learning rate 0.025 on a cosine, batches of 128, crops and flips), a
process each; one that is cut off by the time limit says how far it came.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import shlex
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import ue_ray
from benchmarks.dependability import SETS
from ue_ray.evaluation.training import TrainingPlan, train_classifier
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import open_noise
from ue_ray.storage.inputs.open_source import open_source

NOISES: dict[str, dict[str, Any]] = {
    "random": {"method": "random", "granularity": "sample-wise"},
    "class-wise": {"method": "error-minimizing"},
    # Larger batches and fewer rounds than the defaults (64 and 15): fewer and fuller kernels, and it fits the time.
    "sample-wise": {"method": "error-minimizing", "granularity": "sample-wise", "batch_size": 512, "max_rounds": 6},
    "class-wise, seed 1": {"method": "error-minimizing", "seed": 1},
}
TRAINED = ("clean", *NOISES)


def file_of(data: str, name: str) -> str:
    """A result's name: CIFAR-10's have none of their data set's, as they were there first."""
    return f"table-1-{'' if data == 'cifar10' else data + '-'}{name.replace(', ', '-').replace(' ', '-')}"


def write(output: Path, name: str, result: dict[str, Any]) -> None:
    facts = {"command": shlex.join(["python", *sys.argv]), "machine": machine(), "versions": versions()}
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.json").write_text(json.dumps(facts | result, indent=1) + "\n")


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def data_set(options: argparse.Namespace, data: str, split: str) -> LabelledImages:
    """All images of a split, decoded once and kept beside the results."""
    place = Path(options.output, "cache", f"{data}-{split}.npz")
    if not place.exists():
        root = Path(options.data) / SETS[data].folder if data in SETS else Path(options.data) / data
        uri = root / split if (root / split).is_dir() else root / f"{split}.parquet"
        source = open_source(str(uri))
        listing = source.list()
        rows = listing.table.slice(0, 200 if options.tiny else len(listing))
        files, labels = list(source.read(rows)), rows["label"].to_numpy()
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            images = np.stack(list(pool.map(decoded, files, chunksize=500)))
        place.parent.mkdir(parents=True, exist_ok=True)
        np.savez(place, images=images, labels=labels, names=np.array(listing.class_names))
    kept = np.load(place)
    ids = [f"{split}/{row}" for row in range(len(kept["labels"]))]
    return LabelledImages(kept["images"], kept["labels"], ids, kept["names"].tolist())


def crafted(options: argparse.Namespace, data: str, name: str, train: LabelledImages) -> NoiseArtifact:
    """The noise, crafted with the defaults on ResNet-18, or kept from before."""
    place = Path(options.output, "noise", file_of(data, name))
    if (place / "card.json").exists():
        return NoiseArtifact.load(str(place))
    network = {} if name == "random" else {"surrogate": "resnet9" if options.tiny else "resnet18"}
    small = {} if name == "random" or not options.tiny else {"max_rounds": 1, "batch_size": 32}
    started = time.perf_counter()
    artifact = ue_ray.craft(
        train.images, train.labels, class_names=train.class_names, sample_ids=train.sample_ids, device=options.device,
        **{**NOISES[name], **network, **small},
        report=lambda entry: print(f"{name}: round {entry.round}, error {entry.error:.3f}", flush=True),
    )  # fmt: skip
    artifact.record["craft_seconds"] = time.perf_counter() - started
    artifact.save(str(place))
    return artifact


def victim(options: argparse.Namespace, data: str, name: str) -> None:
    """Trains one victim on the training images with one noise, and writes what it reached after each epoch."""
    torch.set_num_threads(max(1, (torch.get_num_threads() - 2) // 4))
    train, test = data_set(options, data, "train"), data_set(options, data, "test")
    result: dict[str, Any] = {"train_set": name, "data": data, "images": len(train), "n": 1}
    if name != "clean":
        artifact = crafted(options, data, name, train)
        started = time.perf_counter()
        noise = open_noise(artifact, Compute.detect(options.device))
        parts = [train.take(rows) for rows in np.array_split(np.arange(len(train)), max(1, len(train) // 1024))]
        protected = [noise.protect(list(part.images), part.labels, part.sample_ids) for part in parts]
        images = np.concatenate([np.stack(part) for part in protected])
        change = np.abs(images.astype(np.int16) - train.images)
        result |= {
            "crafting": {key: value for key, value in artifact.record.items() if key != "rounds"},
            "rounds": len(artifact.record["rounds"]),
            "noise": artifact.config.to_json(),
            "apply_seconds": time.perf_counter() - started,
            "largest_change": int(change.max()),
            "mean_change": float(change.mean()),
        }
        train = LabelledImages(images, train.labels, train.sample_ids, train.class_names)
    model = "resnet9" if options.tiny else "resnet18"
    plan = TrainingPlan(model, options.epochs, seed=0)
    file_name = file_of(data, name)
    curve: list[dict[str, Any]] = []

    def on_epoch(epoch: Any) -> None:
        curve.append(asdict(epoch))
        peak = max(entry["test_accuracy"] for entry in curve)
        print(f"{name}: epoch {epoch.epoch} of {plan.epochs}, clean test {100 * epoch.test_accuracy:.1f} %, peak "
              f"{100 * peak:.1f} %, {epoch.seconds:.1f} s", flush=True)  # fmt: skip
        facts = {"victim": model, "plan": asdict(plan), "epochs_done": epoch.epoch, "curve": curve}
        facts |= {"final_test_accuracy": epoch.test_accuracy, "peak_test_accuracy": peak}
        facts["images_per_second"] = len(train) / epoch.seconds
        write(Path(options.output), file_name, result | facts)

    training = train_classifier(
        train, test, len(train.class_names), plan, Compute.detect(options.device), None, on_epoch
    )
    confusion = training.confusion.double()
    recall = confusion.diagonal() / confusion.sum(1)
    taken_for = (confusion.sum(0) - confusion.diagonal()) / (confusion.sum() - confusion.sum(1))
    last = json.loads(Path(options.output, f"{file_name}.json").read_text())
    informedness = dict(zip(train.class_names, (recall - taken_for).tolist(), strict=True))
    write(
        Path(options.output), file_name, last | {"confusion": training.confusion.tolist(), "informedness": informedness}
    )


def trained(options: argparse.Namespace, data: str) -> None:
    """Victims on clean, random, class-wise and sample-wise noise, side by side: those that have not ended before."""
    missing = left(options, data)
    train = data_set(options, data, "train")
    data_set(options, data, "test")
    spawn = multiprocessing.get_context("spawn")
    later = [name for name in missing if name not in ("class-wise", "clean")]
    running = [spawn.Process(target=victim, args=(options, data, name)) for name in missing if name not in later]
    for process in running:
        process.start()
    if "sample-wise" in later:
        crafted(options, data, "sample-wise", train)  # in this process, meanwhile
    for name in later:
        running.append(spawn.Process(target=victim, args=(options, data, name)))
        running[-1].start()
    for process in running:
        process.join(max(0.0, options.deadline - time.monotonic()))
    for process in running:
        process.kill()


def left(options: argparse.Namespace, data: str) -> list[str]:
    """Which victims have not had all of their epochs."""
    names = []
    for name in TRAINED:
        place = Path(options.output, f"{file_of(data, name)}.json")
        if not place.exists() or json.loads(place.read_text())["epochs_done"] < options.epochs:
            names.append(name)
    return names
