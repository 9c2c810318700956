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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))

import ue_ray
from benchmarks.reference import algorithm_1
from benchmarks.survival import data_set
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.evaluation.victim import run_victim
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.learning.models import build
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.options import algorithm_1_defaults
from ue_ray.noise.delta_file import whole
from ue_ray.storage.inputs.blocks import stratified_rows

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


def crafted(way: str, train: LabelledImages, names: list[str], seed: int) -> tuple[torch.Tensor, float, float]:
    """Deltas float32 [K,3,32,32], the error that they reached, seconds."""
    surrogate, compiled = WAYS[way]
    started = time.perf_counter()
    if way != "reference":
        options = {"surrogate": surrogate, "compile": compiled, "seed": seed}
        artifact = ue_ray.craft(train.images, train.labels, class_names=names, device="cpu", **options)
        assert artifact.deltas is not None
        return whole(artifact.deltas), artifact.record["error"], time.perf_counter() - started
    part = train.take(stratified_rows(train.labels, 0.2, seed))
    options = algorithm_1_defaults("class-wise", BUDGET.epsilon, {}, len(train), gpu=False)
    torch.manual_seed(seed)
    images = torch.from_numpy(part.images).permute(0, 3, 1, 2).to(torch.float32) / 255
    deltas, error, _ = algorithm_1(
        build(surrogate, len(names), 32), images, torch.from_numpy(part.labels), True, BUDGET.epsilon,
        options["pgd_steps"], 10, options["max_rounds"], options["batch_size"], len(names), options["stop_error"],
    )  # fmt: skip
    return deltas, error, time.perf_counter() - started


def main(options: TimeToNoise) -> None:
    block, names = data_set(options.data, "train", 0, options.per_class)
    train = block.rows
    test, _ = data_set(options.data, "test", 0, options.test_per_class)
    unseen = replace(test.rows, class_names=names)
    plan = TrainingPlan("resnet9", options.epochs, options.seed, 64, 0.05)
    result: dict[str, Any] = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": machine(),
        "versions": versions(),
        "images_crafted_on": len(stratified_rows(train.labels, 0.2, options.seed)),
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
        protected = replace(train, class_names=names)
        if way != "clean":
            deltas, entry["error"], entry["seconds"] = crafted(way, train, names, options.seed)
            levels = BUDGET.round(deltas).permute(0, 2, 3, 1).contiguous().numpy()
            protected = replace(protected, images=BUDGET.apply(train.images, levels[train.labels]))
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
