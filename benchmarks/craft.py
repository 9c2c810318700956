"""The craft loop's speed, beside a straightforward Algorithm 1 and beside the bare arithmetic.

    python benchmarks/craft.py --output benchmarks/results/craft-cpu.json

Image-steps a second: one image through one weight step or one PGD step. Three things are timed in turn, several times
over, so that a machine whose speed drifts treats them alike:

- reference: float32 Algorithm 1 as written from the paper (benchmarks/reference.py);
- craft: this toolkit's loop, as ``ue-ray protect`` runs it (precision, memory format, compilation as given);
- bare: forward + backward of the same surrogate on one resident batch, in the same number of weight and PGD steps: the
  limit for the loop, since all of its own work is left out.

Images are uniform noise: the arithmetic does not depend on what they show.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent.parent))

import ue_ray
from benchmarks.reference import algorithm_1
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.learning.models import build
from ue_ray.learning.steps import WeightSteps


@dataclass(frozen=True)
class CraftBenchmark:
    """What to time."""

    output: str | None = None
    """Where to write the results (JSON)."""
    surrogate: str = "resnet18"
    images: int = 256
    image_size: int = 32
    num_classes: int = 10
    batch_size: int = 128
    rounds: int = 1
    repeats: int = 3
    """Timed runs of each, after one that is not counted."""
    weight_steps: int = 4
    """M of Algorithm 1."""
    pgd_steps: int = 20
    """T of Algorithm 1, sample-wise; class-wise it is 1."""
    compile: bool = True
    device: str | None = None
    reference_device: str | None = None


def crafting(options: CraftBenchmark, granularity: str, schedule: str) -> dict[str, Any]:
    """The options of ``ue_ray.craft`` for one of the noises."""
    sample_wise = {"schedule": schedule, "pgd_steps": options.pgd_steps} if granularity == "sample-wise" else {}
    return sample_wise | {
        "granularity": granularity,
        "surrogate": options.surrogate,
        "stop_error": 0.0,
        "max_rounds": options.rounds + 1,  # the first round compiles and is not counted
        "weight_steps": options.weight_steps,
        "batch_size": options.batch_size,
        "data_fraction": 1.0,
        "views": "none",
    }


def finished(device: torch.device) -> float:
    """The time when all queued work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Subject:
    """One of the three things timed: call it to do ``image_steps`` of work."""

    def __init__(self, options: CraftBenchmark, granularity: str, schedule: str) -> None:
        self.options = options
        self.crafting = crafting(options, granularity, schedule)
        self.class_wise = granularity == "class-wise"
        self.names = [str(label) for label in range(options.num_classes)]
        self.compute = Compute.detect(options.device, compile=options.compile)
        rng = np.random.default_rng(0)
        shape = (options.images, options.image_size, options.image_size, 3)
        self.images = rng.integers(0, 256, shape, dtype=np.uint8)
        self.labels = rng.integers(0, options.num_classes, options.images)
        online = schedule == "online" and granularity == "sample-wise"
        self.weight_images = options.rounds * (options.images if online else options.weight_steps * options.batch_size)
        self.pgd_steps = self.crafting.get("pgd_steps", 1)
        self.pgd_images = options.rounds * options.images * self.pgd_steps

    @property
    def image_steps(self) -> int:
        return self.weight_images + self.pgd_images


class Craft(Subject):
    def __call__(self) -> float:
        artifact = ue_ray.craft(
            self.images, self.labels, class_names=self.names, device=str(self.compute.device),
            compile=self.options.compile, **self.crafting,
        )  # fmt: skip
        rounds = artifact.record["rounds"]
        return float(rounds[-1]["seconds"] - rounds[0]["seconds"])


class Reference(Subject):
    def __call__(self) -> float:
        options = self.options
        device = torch.device(options.reference_device or self.compute.device)
        with torch.device(device):
            model = build(options.surrogate, options.num_classes, options.image_size)
            images = torch.from_numpy(self.images).to(device).permute(0, 3, 1, 2).contiguous().to(torch.float32) / 255
            labels = torch.from_numpy(self.labels).to(device)
            started = finished(device)
            _, _, made = algorithm_1(
                model, images, labels, self.class_wise, 8 / 255, self.pgd_steps, options.weight_steps, options.rounds,
                options.batch_size, options.num_classes,
            )  # fmt: skip
            seconds = finished(device) - started
        return seconds * self.image_steps / made  # the alternating reference and the online loop differ in weight steps


class Bare(Subject):
    def __init__(self, options: CraftBenchmark, granularity: str, schedule: str) -> None:
        super().__init__(options, granularity, schedule)
        self.network = self.compute.place(build(options.surrogate, options.num_classes, options.image_size))
        self.steps = WeightSteps(self.network, self.compute, 0.1)
        self.forward = self.compute.forward(self.network)
        batch = self.images[: options.batch_size]
        self.batch = self.compute.images(torch.from_numpy(batch))
        self.targets = torch.from_numpy(self.labels[: options.batch_size]).to(self.compute.device)

    def __call__(self) -> float:
        size = len(self.targets)
        started = finished(self.compute.device)
        self.network.train()
        for _ in range(self.weight_images // size):
            self.steps.step(self.batch, self.targets, size)
        self.network.eval().requires_grad_(False)
        for _ in range(self.pgd_images // size):
            seen = self.batch.clone().requires_grad_()
            with self.compute.autocast():
                logits = self.forward(seen).float()
            torch.autograd.grad(functional.cross_entropy(logits, self.targets, reduction="sum"), seen)
        self.network.requires_grad_(True)
        return finished(self.compute.device) - started


def main(options: CraftBenchmark) -> None:
    if options.images % options.batch_size:
        sys.exit("images must be a multiple of batch-size: the bare loop has whole batches only")
    rows = []
    for granularity, schedule in (("class-wise", "online"), ("sample-wise", "alternating"), ("sample-wise", "online")):
        subjects = {kind.__name__.lower(): kind(options, granularity, schedule) for kind in (Reference, Craft, Bare)}
        rates: dict[str, list[float]] = {name: [] for name in subjects}
        for repeat in range(options.repeats + 1):
            for name, subject in subjects.items():
                rate = subject.image_steps / subject()
                if repeat:
                    rates[name].append(rate)
        ratios = {
            "craft / reference": [c / r for c, r in zip(rates["craft"], rates["reference"], strict=True)],
            "craft / bare": [c / b for c, b in zip(rates["craft"], rates["bare"], strict=True)],
        }
        label = granularity if granularity == "class-wise" else f"{granularity}, {schedule}"
        rows.append({"noise": label, "image_steps": subjects["craft"].image_steps, "rates": rates, "ratios": ratios})
        print(f"{label} ({options.surrogate}, n = {options.repeats}; median, min to max)")
        for name, values in (rates | ratios).items():
            unit = "" if "/" in name else " image-steps/s"
            digits = 2 if "/" in name else 1
            middle, low, high = (round(f(values), digits) for f in (statistics.median, min, max))
            print(f"  {name:18} {middle}{unit} ({low} to {high})", flush=True)
    if options.output:
        compute = {name: str(value) for name, value in asdict(subjects["craft"].compute).items()}
        result = {
            "command": " ".join(sys.argv),
            "machine": machine(),
            "versions": versions(),
            "compute": compute,
            "rows": rows,
        }
        Path(options.output).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    import tyro

    main(tyro.cli(CraftBenchmark, description=__doc__))
