"""Seconds from a typed command to ``_SUCCESS`` for a person's folder of photos; the start of Ray is in them.

    python benchmarks/folder_of_photos.py --data data --output benchmarks/results/folder-of-photos-cpu.json

``--data``: a folder with ``photos/*.jpg``; square cuts of them, of 1500 pixels a side, are the folder. Linux.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import tyro
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.large_collections import command, run
from benchmarks.reliability.jobs import circumstances, write


@dataclass(frozen=True)
class Photos:
    """What to measure."""

    data: str
    output: str
    counts: tuple[int, ...] = (12, 60)
    side: int = 1500
    n: int = 3


def make(photos: list[Image.Image], folder: Path, count: int, side: int) -> None:
    generator = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        photo = photos[number % len(photos)]
        scale = side / min(photo.size) * generator.uniform(1, 1.3)
        width, height = (round(scale * length) + 1 for length in photo.size)
        left, top = (int(generator.integers(length - side + 1)) for length in (width, height))
        cut = photo.resize((width, height)).crop((left, top, left + side, top + side))
        cut.save(folder / f"{number:03}.jpg", quality=90)


def measure(options: Photos, photos: list[Image.Image], count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ue-", dir="/tmp") as place:  # short: of sockets' paths
        work = Path(place)
        make(photos, work / "photos", count, options.side)
        seconds = []
        for number in range(options.n):
            output = work / f"protected-{number}"
            done = run(work, command("protect", input=str(work / "photos"), output=str(output)))
            assert (output / "_SUCCESS").exists()
            seconds.append(done["seconds"])
            print(count, done["seconds"], flush=True)
    return {"seconds": seconds, "mean": round(fmean(seconds), 1), "worst": max(seconds)}


def main(options: Photos) -> None:
    photos = [Image.open(path).convert("RGB") for path in sorted(Path(options.data, "photos").glob("*.jpg"))]
    found = {str(count): measure(options, photos, count) for count in options.counts}
    write(options.output, circumstances() | {"side": options.side, "photos": found})


if __name__ == "__main__":
    main(tyro.cli(Photos, description=__doc__))
