"""Images a second of applying a noise, beside a plain multi-process loop that only decodes and encodes the same files.

    python benchmarks/apply.py --data lfw20/train.parquet cifar100/test.parquet --output benchmarks/results/apply.json

The plain loop is a multiprocessing pool with a process a core: read, PIL's decoder, a PNG encoder; no perturbation, no
check, nothing written. Once with PIL's encoder as it is, once with its quickest settings, once with ours. Applying is
the whole phase: isolated decoding, perturbing, encoding, decoding again, measuring, writing the shards and their
records. Its clock starts when Ray's actors have loaded the artifact, as the pool's starts when its processes are there.
The files are the first images of a Parquet file, stored as they are in class folders. In turns; the best of several
rounds counts, and all are recorded. CPU time an image, of an actor and its decoder, is recorded too: on a machine that
others use, its ratio says more. Linux.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.reliability.jobs import circumstances
from ue_ray.distributed import cluster
from ue_ray.distributed.applying import apply as product
from ue_ray.distributed.survey import Survey, survey
from ue_ray.images import sandbox
from ue_ray.images.png import write_png
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import noise_config
from ue_ray.storage.inputs.open_source import open_source


def write_files(data: str, count: int, root: Path) -> list[str]:
    """The first images of a Parquet file, in class folders; returns their paths."""
    table = pq.read_table(data, columns=["image", "label"]).slice(0, count)
    paths = []
    for number, (image, label) in enumerate(zip(table["image"].to_pylist(), table["label"].to_pylist(), strict=True)):
        place = root / f"{label:03}" / f"{number:06}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(image["bytes"])
        paths.append(str(place))
    return paths


def plain(path: str, **options: Any) -> float:
    """Decode and encode one file; returns the CPU seconds it took."""
    started = time.process_time()
    with Image.open(path) as image:
        image.convert("RGB").save(io.BytesIO(), "PNG", **options)
    return time.process_time() - started


def plain_ours(path: str) -> float:
    """The same with our encoder."""
    started = time.process_time()
    with Image.open(path) as image:
        write_png(np.asarray(image.convert("RGB")))
    return time.process_time() - started


PLAIN: dict[str, Callable[[str], float]] = {
    "plain": plain,  # as anybody would write it
    "plain, PIL's quickest PNG": partial(plain, compress_level=1, compress_type=zlib.Z_RLE),
    "plain, our PNG": plain_ours,
}


class Timed(product._Protector):
    """The product's actor, which waits for the others before its first shard and notes the CPU time it took."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.place = Path(os.environ["APPLY_NOTES"])
        (self.place / f"{os.getpid()}.ready").touch()
        actors = int((self.place / "actors").read_text())
        while len(list(self.place.glob("*.ready"))) < actors:
            time.sleep(0.01)
        self.started = time.process_time()

    def __call__(self, batch: pa.Table) -> pa.Table:
        result = super().__call__(batch)
        children = sum(child_seconds(decoder.pid) for decoder in sandbox._idle if decoder.pid)
        (self.place / f"{os.getpid()}.cpu").write_text(str(time.process_time() - self.started + children))
        return result


def child_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def applied(found: Survey, artifact: str, output: str, notes: Path) -> tuple[float, float]:
    """Seconds from the moment all actors are ready to the last record, and CPU seconds of actors and decoders."""
    for note in notes.iterdir():
        note.unlink()
    (notes / "actors").write_text(str(int(min(found.summary.shards, cluster.cpus()))))
    results = list(product.apply(found, artifact, output))
    ended = time.time()
    assert sum(result.record.protected for result in results) == found.summary.count
    started = max(note.stat().st_mtime for note in notes.glob("*.ready"))
    return ended - started, sum(float(note.read_text()) for note in notes.glob("*.cpu"))


def crafted(found: Survey, place: str) -> str:
    """A class-wise artifact for these images: random, but applied as a crafted one is."""
    side = found.summary.side
    names = found.summary.class_names
    config = noise_config({"method": "error-minimizing"}, names, found.summary.count, side)
    deltas = (
        torch.rand(len(config.class_names), 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ) * (8 / 255)
    NoiseArtifact(config, deltas=deltas).save(place)
    return place


def measure(root: Path, paths: list[str], work: Path, rounds: int, notes: Path) -> dict[str, Any]:
    found = survey(open_source(str(root)))
    artifact = crafted(found, str(work / "noise"))
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in (*PLAIN, "apply")}  # seconds, CPU seconds
    with multiprocessing.get_context("spawn").Pool(int(cluster.cpus())) as pool:
        pool.map(plain, paths[:64], chunksize=1)
        for number in range(rounds):
            for name, way in PLAIN.items():
                started = time.perf_counter()
                cpu = sum(pool.imap_unordered(way, paths, chunksize=16))
                took[name].append((time.perf_counter() - started, cpu))
            took["apply"].append(applied(found, artifact, str(work / f"out-{number}"), notes))
    rates = {name: [round(len(paths) / seconds, 1) for seconds, _ in values] for name, values in took.items()}
    costs = {name: [round(1e6 * cpu / len(paths), 1) for _, cpu in values] for name, values in took.items()}
    return {
        "images": len(paths),
        "side": found.summary.side,
        "shards": found.summary.shards,
        "images_per_second": rates,
        "cpu_microseconds_per_image": costs,
        "share_of_rate": {name: round(max(rates["apply"]) / max(rates[name]), 3) for name in PLAIN},
        "share_by_cpu_time": {name: round(min(costs[name]) / min(costs["apply"]), 3) for name in PLAIN},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--images", type=int, default=10_000, help="at most, of each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output")
    options = parser.parse_args()
    result: dict[str, Any] = circumstances() | {"runs": {}}
    product._Protector = Timed  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        notes.mkdir()
        os.environ["APPLY_NOTES"] = str(notes)
        os.environ.update({"RAY_worker_niceness": "0"})  # as the pool's processes have
        cluster.connect()
        for number, data in enumerate(options.data):
            work = Path(folder) / str(number)
            paths = write_files(data, options.images, work / "in")
            name = "/".join(Path(data).parts[-2:])
            run = measure(work / "in", paths, work, options.rounds, notes)
            result["runs"][name] = run
            print(
                f"{name}: {run['images']:,} images of side {run['side']}, "
                f"apply: {max(run['images_per_second']['apply'])}/s"
            )
            for way in PLAIN:
                rate = max(run["images_per_second"][way])
                shares = [100 * run[share][way] for share in ("share_of_rate", "share_by_cpu_time")]
                print(f"  {way}: {rate}/s: {shares[0]:.0f} % of it, by CPU time {shares[1]:.0f} %", flush=True)
        if options.output:
            Path(options.output).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
