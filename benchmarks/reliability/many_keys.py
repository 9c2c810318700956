"""What does listing a bucket of a million keys take? The memory of one process, before, at its peak and after.

    python benchmarks/reliability/many_keys.py --keys 1000000

The keys are simulated (``user-00042/2019/IMG_0001234.jpg``, 1,000 users, in the order in which a store lists them), so
that no store has to hold a million objects; everything after the listing request is the product's. Linux.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability.jobs import circumstances, write
from ue_ray.storage.inputs import folder

PER_USER = 1000


def resident() -> tuple[float, float]:
    """Resident memory of this process, now and at its peak so far, in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now, peak = (int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


def keys(count: int) -> Iterator[tuple[bytes, int]]:
    users = max(1, count // PER_USER)
    for number in range(count):
        user, image = divmod(number, -(-count // users))
        yield f"user-{user:05}/2019/IMG_{image:07}.jpg".encode(), 100_000 + number % 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--output")
    options = parser.parse_args()
    result: dict[str, Any] = circumstances()
    folder.walk = lambda filesystem, root: keys(options.keys)  # type: ignore[assignment]
    before, _ = resident()
    started = time.perf_counter()
    listing = folder.FolderSource("/bucket").list()
    seconds = time.perf_counter() - started
    after, peak = resident()
    result |= {
        "keys": len(listing.table),
        "seconds": round(seconds, 2),
        "classes": len(listing.class_names),
        "mib": {"before": round(before), "peak_above": round(peak - before), "kept_above": round(after - before)},
    }
    print(json.dumps({"seconds": result["seconds"], **result["mib"]}))
    write(options.output, result)


if __name__ == "__main__":
    main()
