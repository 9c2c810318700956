"""Seconds from images to a class-wise noise, and how well it protects: Algorithm 1 as written, and this toolkit.

    python benchmarks/time_to_noise.py --data cifar10 --output benchmarks/results/time-to-noise-cpu.json

Each crafts on the same 20 % of the same images, with the same epsilon, alpha, M, lambda and batches, until its training
error is below lambda: float32 Algorithm 1 with the paper's ResNet-18 (``reference.py``), our loop with ResNet-18, plain
and compiled, and our loop with ResNet-9, the default where there is no GPU. Then the same victim is trained on the
images that carry each noise. In one process with all threads, one after the other, without Ray.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.reference import algorithm_1
from benchmarks.survival import data_set
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.evaluation.victim import run_victim
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.learning.models import build
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import class_wise_batch_size, default_parameters
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.checkpoint import Checkpoints
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas
from ue_ray.noise.delta_file import whole
from ue_ray.noise.methods import NoiseConfig, new_method
from ue_ray.storage.inputs.blocks import Block, stratified_rows

BUDGET = Budget(8 / 255)
WAYS = {  # surrogate, compiled
    "reference": ("resnet18", False),
    "craft": ("resnet18", False),
    "craft, compiled": ("resnet18", True),
    "craft, default surrogate": ("resnet9", False),
}


@dataclass(frozen=True)
class TimeToNoise:
    """What to measure."""

    data: str
    """A folder with train.parquet and test.parquet."""
    output: str
    """Where the results go (JSON); written as each way ends. Started again, it goes on where it was."""
    per_class: int = 500
    """Training images of each class: the first ones."""
    test_per_class: int = 200
    epochs: int = 15
    """Of the victims: ResNet-9, batches of 64, learning rate 0.05 on a cosine."""
    ways: tuple[str, ...] = tuple(WAYS)
    seed: int = 0


def crafted(way: str, part: Block, names: list[str], seed: int) -> tuple[torch.Tensor, float, float]:
    """Deltas float32 [K,3,32,32], the error that they reached, seconds."""
    surrogate, compiled = WAYS[way]
    parameters = default_parameters("error-minimizing", "class-wise", "online", BUDGET.epsilon)
    parameters["batch_size"] = class_wise_batch_size(len(part.labels))
    started = time.perf_counter()
    if way == "reference":
        torch.manual_seed(seed)
        images = torch.from_numpy(part.images).to(torch.float32) / 255
        deltas, error, _ = algorithm_1(
            build(surrogate, len(names), 32), images, torch.from_numpy(part.labels), True, BUDGET.epsilon,
            parameters["pgd_steps"], parameters["weight_steps"], parameters["max_rounds"], parameters["batch_size"],
            len(names), parameters["stop_error"],
        )  # fmt: skip
        return deltas, error, time.perf_counter() - started
    config = NoiseConfig(
        method="error-minimizing",
        granularity="class-wise",
        budget=BUDGET,
        class_names=tuple(names),
        image_size=32,
        canvas=32,
        surrogate=surrogate,
        seed=seed,
        **parameters,
    )
    compute = Compute.detect("cpu", compile=compiled)
    windows = Windows(lambda: iter([part]), config.batch_size, compute)
    artifact = new_method(config, compute).craft(
        windows, ReplicatedDeltas(len(names), 32, BUDGET), lambda entry: None, Checkpoints()
    )
    seconds = time.perf_counter() - started
    assert artifact is not None
    assert artifact.deltas is not None
    return whole(artifact.deltas), artifact.record["error"], seconds


def main(options: TimeToNoise) -> None:
    train, names = data_set(options.data, "train", 0, options.per_class)
    test, _ = data_set(options.data, "test", 0, options.test_per_class)
    rows = stratified_rows(train.labels, 0.2, seed=options.seed)
    part = Block(rows, train.take(rows))
    unseen = LabelledImages(test.images.transpose(0, 2, 3, 1), test.labels, test.sample_ids, names, 0)
    plan = TrainingPlan("resnet9", options.epochs, options.seed, 64, 0.05)
    images = [np.ascontiguousarray(image) for image in train.images.transpose(0, 2, 3, 1)]
    result: dict[str, Any] = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": machine(),
        "versions": versions(),
        "images_crafted_on": len(rows),
        "n": 1,
        "ways": {},
    }
    if Path(options.output).exists():
        result["ways"] = json.loads(Path(options.output).read_text())["ways"]
    print(f"{'way':26} {'seconds':>8} {'x':>5} {'error':>6}  victim's final / peak accuracy")
    for way in ["clean", *options.ways]:
        if way in result["ways"]:
            continue
        entry: dict[str, Any] = {}
        carrying = images
        if way != "clean":
            deltas, entry["error"], entry["seconds"] = crafted(way, part, names, options.seed)
            levels = BUDGET.round(deltas).permute(0, 2, 3, 1).contiguous().numpy()
            carrying = [BUDGET.apply(image, levels[label]) for image, label in zip(images, train.labels, strict=True)]
        protected = LabelledImages(np.stack(carrying), train.labels, train.sample_ids, names, 0)
        victim = run_victim(protected, unseen, way, "none", plan, Compute.detect("cpu"))
        entry |= {name: victim[name] for name in ("final_test_accuracy", "peak_test_accuracy")}
        result["ways"][way] = entry
        first = result["ways"].get("reference", {}).get("seconds")
        numbers = (
            f"{entry['seconds']:8.1f} {first / entry['seconds'] if first else float('nan'):5.2f} {entry['error']:6.3f}"
            if way != "clean"
            else " " * 21
        )
        print(
            f"{way:26} {numbers}  {100 * entry['final_test_accuracy']:.1f} / {100 * entry['peak_test_accuracy']:.1f} %",
            flush=True,
        )
        Path(options.output).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(TimeToNoise, description=__doc__))
