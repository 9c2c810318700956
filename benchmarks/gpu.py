"""What a GPU is needed for: the craft loop's speed on it, and Table 1 with ResNet-18 and all of CIFAR-10.

    python benchmarks/gpu.py --slice speed --output out/gpu
    python benchmarks/gpu.py --slice table-1 --data cifar10 --epochs 30 --minutes 8 --output out/gpu

``--data``: a folder with train.parquet and test.parquet (image, label). A slice fits into ``--minutes`` of one GPU;
each result is a JSON file that is written as it ends, and not made again. Needs neither Ray nor a network. A rehearsal
on a CPU: ``--device cpu --tiny``.

Table 1: victims are trained side by side, a process each, by the paper's recipe (SGD, learning rate 0.025 on a cosine,
batches of 128, crops and flips), ``--epochs`` epochs; one that is cut off by the time limit says how far it came.
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
import pyarrow.parquet as pq
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

import ue_ray
from benchmarks import craft as craft_speed
from ue_ray.evaluation.training import TrainingPlan, train_classifier
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import open_noise

NOISES: dict[str, dict[str, Any]] = {
    "random": {"method": "random", "granularity": "sample-wise"},
    "class-wise": {},
    # Larger batches and fewer rounds than the defaults (64 and 15): fewer and fuller kernels, and it fits the time.
    "sample-wise": {"granularity": "sample-wise", "batch_size": 512, "max_rounds": 6},
    "class-wise, seed 1": {"seed": 1},
}


def write(output: Path, name: str, result: dict[str, Any]) -> None:
    facts = {"command": shlex.join(["python", *sys.argv]), "machine": machine(), "versions": versions()}
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.json").write_text(json.dumps(facts | result, indent=1) + "\n")


def speed(options: argparse.Namespace) -> None:
    """The loop beside a plain float32 Algorithm 1 and beside the bare forward and backward passes; ResNet-18, 32x32."""
    output = Path(options.output)
    if options.device != "cpu" and not (output / "ceilings.json").exists():
        write(output, "ceilings", ceilings())
    sizes = [(16, 32)] if options.tiny else [(2048, 128), (4096, 512)]
    for compiled in (False, True):
        for images, batch in sizes:
            name = f"craft-resnet18-batch{batch}{'-compiled' if compiled else ''}"
            if (output / f"{name}.json").exists() or time.monotonic() > options.deadline:
                continue
            craft_speed.main(
                craft_speed.CraftBenchmark(
                    output=str(output / f"{name}.json"), images=images, batch_size=batch, rounds=2, weight_steps=10,
                    image_size=16 if options.tiny else 32, pgd_steps=2 if options.tiny else 20, compile=compiled,
                    surrogate="resnet9" if options.tiny else "resnet18", device=options.device,
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


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def data_set(options: argparse.Namespace, split: str) -> LabelledImages:
    """All images of a split, decoded once and kept beside the results."""
    place = Path(options.output, "cache", f"{split}.npz")
    if not place.exists():
        table = pq.read_table(Path(options.data, f"{split}.parquet"))
        names = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
        files = [image["bytes"] for image in table["image"].to_pylist()]
        labels = table["label"].to_numpy().astype(np.int64)
        if options.tiny:
            files, labels = files[:200], labels[:200]
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            images = np.stack(list(pool.map(decoded, files, chunksize=500)))
        place.parent.mkdir(parents=True, exist_ok=True)
        np.savez(place, images=images, labels=labels, names=np.array(names))
    kept = np.load(place)
    ids = [f"{split}/{row}" for row in range(len(kept["labels"]))]
    return LabelledImages(kept["images"], kept["labels"], ids, kept["names"].tolist())


def crafted(options: argparse.Namespace, name: str, train: LabelledImages) -> NoiseArtifact:
    """The noise, crafted with the defaults on ResNet-18, or kept from before."""
    place = Path(options.output, "noise", name.replace(", ", "-").replace(" ", "-"))
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


def victim(options: argparse.Namespace, name: str) -> None:
    """Trains one victim on the training images with one noise, and writes what it reached after each epoch."""
    torch.set_num_threads(max(1, (torch.get_num_threads() - 2) // 4))
    train, test = data_set(options, "train"), data_set(options, "test")
    result: dict[str, Any] = {"train_set": name, "data": options.data, "images": len(train), "n": 1}
    if name != "clean":
        artifact = crafted(options, name, train)
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
    file_name = f"table-1-{name.replace(', ', '-').replace(' ', '-')}"
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


def table_1(options: argparse.Namespace) -> None:
    """Victims on clean, random, class-wise and sample-wise noise, side by side."""
    data_set(options, "train"), data_set(options, "test")
    spawn = multiprocessing.get_context("spawn")
    running = [spawn.Process(target=victim, args=(options, name)) for name in ("class-wise", "clean")]
    for process in running:
        process.start()
    crafted(options, "sample-wise", data_set(options, "train"))  # in this process, meanwhile
    for name in ("sample-wise", "random", "class-wise, seed 1"):
        running.append(spawn.Process(target=victim, args=(options, name)))
        running[-1].start()
    for process in running:
        process.join(max(0.0, options.deadline - time.monotonic()))
    for process in running:
        process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slice", choices=["speed", "table-1"], required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--data", help="a folder with train.parquet and test.parquet")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    options.deadline = time.monotonic() + 60 * options.minutes
    speed(options) if options.slice == "speed" else table_1(options)
    for path in sorted(Path(options.output).glob("table-1-*.json")):
        entry = json.loads(path.read_text())
        final, peak = (100 * entry[f"{which}_test_accuracy"] for which in ("final", "peak"))
        print(f"{entry['train_set']:20} epoch {entry['epochs_done']:3}: final {final:5.1f} %, peak {peak:5.1f} %, "
              f"{entry['images_per_second']:.0f} images/s")  # fmt: skip


if __name__ == "__main__":
    main()
