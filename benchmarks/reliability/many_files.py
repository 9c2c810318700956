"""Does the driver's memory grow with the number of files? The peak of each kind of process for few and many.

    python benchmarks/reliability/many_files.py --work /tmp/ue-many --files 10000 100000 \
        --output benchmarks/results/reliability/many_files.json

The files are hard links to a few 8x8 PNGs, in ten class folders; the noise is random, so that nothing is crafted.
Linux.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability.jobs import Job, circumstances, parser, write
from ue_ray.images.codec import encode
from ue_ray.storage.outputs.output import Output

LIMIT = 3000  # seconds
KINDS = ("driver", "ray::MapWorker", "decoder")


def make_input(root: Path, count: int) -> None:
    if root.exists():
        return
    staging = root.with_suffix(".part")
    shutil.rmtree(staging, ignore_errors=True)
    rng = np.random.default_rng(0)
    for label in range(10):
        (staging / f"{label}").mkdir(parents=True)
    first = [staging / f"{label}" / "000000.png" for label in range(10)]
    for path in first:
        path.write_bytes(encode(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)))
    for number in range(10, count):
        # A file system allows some 60,000 links to a file.
        os.link(first[number % 10], staging / f"{number % 10}" / f"{number // 10:06}.png")
    staging.rename(root)


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--files", type=int, nargs="+", default=[10_000, 100_000])
    options = command_line.parse_args()
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {**circumstances(), "runs": {}}
    for count in options.files:
        source, output = work / f"in-{count}", work / f"out-{count}"
        make_input(source, count)
        shutil.rmtree(output, ignore_errors=True)
        done = Job(work, ["--input", str(source), "--output", str(output), "--method", "random"]).run(LIMIT)
        if done.status != 0:
            sys.exit(f"{count:,} files: ended with {done.status}: {done.last_line}")
        manifest = Output(str(output)).manifest()
        result["runs"][str(count)] = {
            "protected": manifest["protected"],
            "seconds": round(done.seconds, 1),
            "peak_mib": done.watch.peaks_mib(),
        }
        peaks = ", ".join(f"{kind} {done.watch.peaks_mib().get(kind, 0)} MiB" for kind in KINDS)
        print(f"{count:9,} files: {manifest['protected']:,} protected in {done.seconds:.0f} s; {peaks}", flush=True)
        write(options.output, result)
    peaks = [run["peak_mib"]["driver"] for run in result["runs"].values()]
    result["driver_growth"] = round(peaks[-1] / peaks[0] - 1, 4)
    print(f"driver: {100 * result['driver_growth']:+.1f} %")
    write(options.output, result)
    sys.exit(result["driver_growth"] > 0.10)


if __name__ == "__main__":
    main()
