"""What it costs to look up class-wise deltas when classes come in random order: milliseconds and bytes read an image.

    python benchmarks/class_table.py --output benchmarks/results/class-table.json

A class-wise noise of many classes at the side of photos (1,000 at 224: 600 MB) lies in a file; its deltas are random,
but are looked up as crafted ones are. Images of random classes are protected 64 at a time, shard by shard, as applying
does it: nothing is decoded or encoded. Once all images have one size, so that a class's rounded delta can be kept, and
once each has a size of its own, as photos have.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.reliability.jobs import circumstances, write
from ue_ray.learning.compute import Compute
from ue_ray.noise import delta_file
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import noise_config, open_noise
from ue_ray.protection.shard import GRAIN

SHARD = 1024  # rows, of plan_shards


def crafted(classes: int, side: int, place: str) -> None:
    """Saves a class-wise artifact of random deltas."""
    names = [f"{number:05}" for number in range(classes)]
    config = noise_config({"method": "error-minimizing"}, names, 100 * classes, side)
    deltas = torch.rand(classes, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    NoiseArtifact(config, deltas=deltas * (8 / 255)).save(place)


def measure(place: str, side: int, images: int, own_sizes: bool) -> dict[str, Any]:
    torch.set_num_threads(1)  # as an actor has
    read = 0
    plain = delta_file.read_range

    def counted(uri: str, start: int, count: int) -> bytes:
        nonlocal read
        read += count
        return plain(uri, start, count)

    delta_file.read_range = counted
    try:
        noise = open_noise(NoiseArtifact.load(place), Compute.detect("cpu"))
        rng = np.random.default_rng(0)
        labels = rng.integers(0, len(noise.config.class_names), images)
        most = side // 4 if own_sizes else 1
        sizes = side - rng.integers(0, most, (images, 2))
        started, cpu = time.perf_counter(), time.process_time()
        for first in range(0, images, SHARD):
            shard = labels[first : first + SHARD]
            if hasattr(noise, "expect"):
                noise.expect(shard)
            for start in range(first, min(first + SHARD, images), GRAIN):
                rows = slice(start, min(start + GRAIN, first + SHARD, images))
                photos = [np.full((height, width, 3), 128, np.uint8) for height, width in sizes[rows].tolist()]
                noise.protect(photos, labels[rows], [""] * len(photos))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    finally:
        delta_file.read_range = plain
    return {
        "milliseconds_per_image": round(1e3 * seconds / images, 2),
        "cpu_milliseconds_per_image": round(1e3 * cpu / images, 2),
        "megabytes_read_per_image": round(read / images / 1e6, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--output")
    options = parser.parse_args()
    result: dict[str, Any] = circumstances() | {"runs": {}}
    with tempfile.TemporaryDirectory() as folder:
        crafted(options.classes, options.side, folder)
        for name, own_sizes in (("one size", False), ("each its own size", True)):
            run = measure(folder, options.side, options.images, own_sizes)
            result["runs"][name] = run
            print(f"{name}: " + ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in run.items()), flush=True)
    write(options.output, result)


if __name__ == "__main__":
    main()
