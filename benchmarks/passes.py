"""Seconds of a pass over data that is larger than a window: decoded again in each pass, or kept as blocks.

    python benchmarks/passes.py --output benchmarks/results/passes-cpu.json

Smooth random photos, JPEG, in a folder, cut into three windows by setting the window's size. Ray Data decodes them for
one worker, as for crafting; the worker only takes one window after the other. So a pass is what the data costs where no
arithmetic hides it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.reliability.jobs import circumstances, write
from ue_ray.distributed import cluster
from ue_ray.distributed.crafting.kept_blocks import KeptBlocks
from ue_ray.distributed.stream import block_stream, blocks_of
from ue_ray.distributed.survey import survey
from ue_ray.learning.compute import Compute
from ue_ray.noise.crafting.batches import Windows
from ue_ray.storage.inputs.blocks import Block
from ue_ray.storage.inputs.open_source import open_source

WINDOWS = 3


def write_photos(root: Path, count: int, side: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        place = root / str(number % 10) / f"{number:05}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(place, quality=90)


def passes(blocks: Callable[[], Iterator[Block]], images: int, side: int, count: int) -> list[float]:
    """Seconds of each of ``count`` passes."""
    size = -(-images // WINDOWS) * 3 * side**2
    windows = iter(Windows(blocks, 128, Compute.detect("cpu"), images, size))
    seconds = []
    for _ in range(count):
        started, seen = time.perf_counter(), 0
        while seen < images:
            seen += len(next(windows))
        seconds.append(round(time.perf_counter() - started, 2))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--output")
    options = parser.parse_args()
    result: dict[str, Any] = circumstances() | {"seconds_of_each_pass": {}}
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder) / "in", options.images, options.side)
        cluster.connect()
        data, _ = block_stream(survey(open_source(str(Path(folder) / "in"))), 1.0, 0, options.side, 1)
        iterator = data.iterator()

        def stream() -> Iterator[Block]:
            return blocks_of(iterator.iter_batches(batch_size=None, batch_format="numpy"))

        for name, blocks in (("decoded again", stream), ("kept", KeptBlocks(stream))):
            seconds = passes(blocks, options.images, options.side, options.passes)
            result["seconds_of_each_pass"][name] = seconds
            print(f"{name}: {seconds}", flush=True)
    write(options.output, result)


if __name__ == "__main__":
    main()
