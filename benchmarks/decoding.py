"""What the isolation costs: real files decoded in this process and by a Decoder's child.

    python benchmarks/decoding.py --small cifar10/test.parquet --large lfw20/test.parquet

Each Parquet file has ``image: struct<bytes, path>``. The small images are stored as PNG first, as the tool's outputs
are. Files a second (the child works while the parent does, so two cores may be in use) and CPU time a file, of both
processes together (what an actor with one core to itself pays); of each the best of several rounds, taken in turns.
Linux.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))

from ue_ray.images.codec import ImageError, Picture, decode, encode
from ue_ray.images.sandbox import Decoder
from ue_ray.learning.machine import machine, versions


def encoded(pictures: Iterable[Picture | ImageError]) -> None:
    for picture in pictures:
        assert isinstance(picture, Picture)
        encode(picture.rgb)


def child_seconds(decoder: Decoder) -> float:
    """CPU time of the child so far."""
    return int(Path(f"/proc/{decoder.pid}/schedstat").read_text().split()[0]) / 1e9


def measure(files: list[bytes], rounds: int) -> dict[str, dict[str, float]]:
    """Of each way through all ``files``: files a second, and CPU microseconds a file."""
    with Decoder() as decoder:
        list(decoder.decode_all(files[:1]))  # started before the clock
        ways: dict[str, Callable[[], object]] = {
            "in_process_decode": lambda: [decode(data) for data in files],
            "decoder_decode": lambda: list(decoder.decode_all(files)),
            "in_process_decode_encode": lambda: encoded(map(decode, files)),
            "decoder_decode_encode": lambda: encoded(decoder.decode_all(files)),
        }
        best = {name: {"files_per_second": 0.0, "cpu_microseconds": float("inf")} for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                wall, cpu = time.perf_counter(), time.process_time() + child_seconds(decoder)
                way()
                wall, cpu = time.perf_counter() - wall, time.process_time() + child_seconds(decoder) - cpu
                found = best[name]
                found["files_per_second"] = max(found["files_per_second"], round(len(files) / wall, 1))
                found["cpu_microseconds"] = min(found["cpu_microseconds"], round(cpu / len(files) * 1e6, 1))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", required=True)
    parser.add_argument("--large", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output")
    options = parser.parse_args()

    def first(path: str, count: int) -> list[bytes]:
        images = pq.read_table(path, columns=["image"]).slice(0, count)["image"]
        return [row["bytes"] for row in images.to_pylist()]

    small = [encode(decode(data).rgb) for data in first(options.small, 2000)]
    large = first(options.large, 300)
    started = time.perf_counter()
    with Decoder() as decoder:
        list(decoder.decode_all(small[:1]))
        start = time.perf_counter() - started
    result = {
        "command": sys.argv,
        "machine": machine(),
        "versions": versions(),
        "rounds": options.rounds,
        "start_seconds": round(start, 3),
        "small_png": measure(small, options.rounds),
        "large": measure(large, options.rounds),
    }
    print(json.dumps(result, indent=2))
    if options.output:
        Path(options.output).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
