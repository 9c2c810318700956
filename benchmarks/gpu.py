"""What a GPU is needed for, in slices that a lent card has time for. Without Ray, and without a network.

    python benchmarks/gpu.py --slice list --data data --output out/gpu
    python benchmarks/gpu.py --slice next --data data --output out/gpu
    python benchmarks/gpu.py --slice table-1 --data data --output out/gpu --minutes 8

``--data``: the folder of data sets that dependability.py reads. ``next`` is the first slice, in the order of their
value, that is not whole in ``--output``. A slice begins nothing after ``--minutes``; each result is a JSON file that is
written as it ends, and the same command again makes what is missing (a victim that was cut off is trained anew). A
rehearsal on a CPU: ``--slice all --device cpu --tiny``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import ue_ray
from benchmarks import craft as craft_speed
from benchmarks import dependability, gpu_table_1
from benchmarks.gpu_table_1 import write
from ue_ray.noise.artifact import NoiseArtifact


@dataclass(frozen=True)
class Slice:
    """``left``: what is not made yet; ``run`` makes it, as far as the time goes."""

    what: str
    left: Callable[[argparse.Namespace], list[str]]
    run: Callable[[argparse.Namespace], None]


def table_1(data: str, what: str) -> Slice:
    return Slice(what, partial(gpu_table_1.left, data=data), partial(gpu_table_1.trained, data=data))


def takers(what: str, processes: int, **chosen: Any) -> Slice:
    """Victims of dependability.py."""

    def options(given: argparse.Namespace) -> dependability.Options:
        small = {"sets": ("digits",), "epochs": 1, "victims": ("resnet9",)} if given.tiny else {}
        minutes = max(0.0, given.deadline - time.monotonic()) / 60
        folder = str(Path(given.output, "victims"))
        return dependability.Options(
            data=given.data, output=folder, device=given.device, processes=processes, minutes=minutes,
            **{**chosen, **small},
        )  # fmt: skip

    def left(given: argparse.Namespace) -> list[str]:
        made = options(given)
        names = [victim.name for victim in dependability.victims(made)]
        return [name for name in names if not Path(made.output, f"{name}.json").exists()]

    return Slice(what, left, lambda given: dependability.main(options(given)))


def speeds(options: argparse.Namespace) -> dict[str, tuple[int, int, bool]]:
    """By the names of their results: images, images in a batch, compiled or not."""
    sizes = [(64, 32)] if options.tiny else [(2048, 128), (4096, 512)]
    return {
        f"craft-resnet18-batch{batch}{'-compiled' if compiled else ''}": (images, batch, compiled)
        for compiled in (False, True)
        for images, batch in sizes
    }


def speeds_left(options: argparse.Namespace) -> list[str]:
    names = [*speeds(options), *(["ceilings"] if options.device != "cpu" else [])]
    return [name for name in names if not Path(options.output, f"{name}.json").exists()]


def speed(options: argparse.Namespace) -> None:
    """The loop beside a plain float32 Algorithm 1 and beside the bare forward and backward passes; ResNet-18, 32x32."""
    for name in speeds_left(options):
        if time.monotonic() > options.deadline:
            return
        if name == "ceilings":
            write(Path(options.output), name, ceilings())
            continue
        images, batch, compiled = speeds(options)[name]
        craft_speed.main(
            craft_speed.CraftBenchmark(
                output=str(Path(options.output, f"{name}.json")), images=images, batch_size=batch, rounds=2,
                weight_steps=10, image_size=16 if options.tiny else 32, pgd_steps=2 if options.tiny else 20,
                compile=compiled, surrogate="resnet9" if options.tiny else "resnet18", device=options.device,
                repeats=1 if options.tiny else 3,
            )
        )  # fmt: skip


def ceilings() -> dict[str, float]:
    """What the card does at most: bytes read and written a second, bfloat16 operations a second."""
    source = torch.randn(1 << 30, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    left, right = (torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda") for _ in range(2))

    def seconds(work: Any) -> float:
        work()
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(10):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - started) / 10

    return {
        "copied_bytes_per_second": 2 * source.nbytes / seconds(lambda: target.copy_(source)),
        "bf16_flops_per_second": 2 * 8192**3 / seconds(lambda: left @ right),
    }


def online(options: argparse.Namespace) -> None:
    """Noise that a network makes of each image as it is applied: crafted, then images/s of applying alone."""
    side, count = (16, 64) if options.tiny else (32, 8192)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, count)
    names, ids = [str(label) for label in range(10)], [str(number) for number in range(count)]
    for name in online_left(options):
        if time.monotonic() > options.deadline:
            return
        method = name.removeprefix("online-")
        started = time.perf_counter()
        artifact: NoiseArtifact = ue_ray.craft(
            images, labels, method, class_names=names, sample_ids=ids, granularity="sample-wise",
            surrogate="resnet9" if options.tiny else "resnet18", batch_size=32 if options.tiny else 512, max_rounds=1,
            device=options.device,
        )  # fmt: skip
        crafted = time.perf_counter() - started
        protector = ue_ray.Protector(artifact, options.device)
        rates = []
        for _ in range(1 if options.tiny else 4):  # the first one warms up
            started = time.perf_counter()
            protector.protect(images, labels, ids)
            rates.append(count / (time.perf_counter() - started))
        write(
            Path(options.output),
            name,
            {"images": count, "side": side, "craft_seconds": crafted, "noise": artifact.config.to_json(),
             "applied_images_per_second": rates[1:] or rates},
        )  # fmt: skip


def online_left(options: argparse.Namespace) -> list[str]:
    names = ["online-error-minimizing", "online-sem"]
    return [name for name in names if not Path(options.output, f"{name}.json").exists()]


SLICES = {  # in the order of their value
    "board": takers(
        "three methods against five takers, ResNet-18, ten CIFAR-100 classes", 10, sets=("cifar100-4",),
        victims=("resnet18",), methods=("gratings", "error-minimizing", "lsp"), forms=("class-wise",), noise_seeds=2,
        victim_seeds=1, countermeasures=("none", "grayscale", "jpeg-10", "orthogonal-projection", "ueraser-lite"),
    ),
    "families": takers(
        "two more families of victims on the default method, four data sets", 14, victims=("vgg11", "whitened-resnet9"),
        sets=("digits", "cifar10-5k", "cifar100-4", "cifar100-8"), methods=("gratings",), victim_seeds=1,
    ),
    "table-1-cifar100": table_1("cifar100", "Table 1, CIFAR-100, ResNet-18"),
    "adversarial": takers(
        "adversarial training at 8/255, class-wise noise, CIFAR-10, ResNet-18", 2, sets=("cifar10",),
        victims=("resnet18",), methods=("error-minimizing",), forms=("class-wise",), noise_seeds=1, victim_seeds=1,
        countermeasures=("adversarial-training-8",),
    ),
    "online": Slice("applying what a network makes of each image: images/s", online_left, online),
    "table-1": table_1("cifar10", "Table 1, CIFAR-10, ResNet-18"),
    "speed": Slice("the craft loop beside a plain one and beside the bare passes", speeds_left, speed),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slice", choices=["list", "next", "all", *SLICES], required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--data", required=True, help="the folder of data sets that dependability.py reads")
    parser.add_argument("--epochs", type=int, default=60, help="of the victims of Table 1")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if options.tiny:
        options.epochs = 1
    options.deadline = time.monotonic() + 60 * options.minutes
    unfinished = [name for name, each in SLICES.items() if each.left(options)]
    if options.slice == "list":
        for name, each in SLICES.items():
            left = len(each.left(options))
            print(f"{name:18} {f'{left} left' if left else 'whole':8} {each.what}")
        return
    chosen = {"all": unfinished, "next": unfinished[:1]}.get(options.slice, [options.slice])
    for name in chosen:
        print(f"slice {name}: {SLICES[name].what}", flush=True)
        SLICES[name].run(options)
    for path in sorted(Path(options.output).glob("table-1-*.json")):
        entry = json.loads(path.read_text())
        final, peak = (100 * entry[f"{which}_test_accuracy"] for which in ("final", "peak"))
        print(f"{entry['data']:8} {entry['train_set']:20} epoch {entry['epochs_done']:3}: final {final:5.1f} %, peak "
              f"{peak:5.1f} %, {entry['images_per_second']:.0f} images/s")  # fmt: skip


if __name__ == "__main__":
    main()
