"""How many single flipped bits of a committed output does verification catch? It should be all.

    python benchmarks/reliability/flips.py --flips 1000 --output benchmarks/results/reliability/flips.json

Makes a small output in each format, flips one bit at a time, in every kind of file alike, and verifies. Each flip is
taken back before the next.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from ue_ray.learning.machine import machine, versions
from ue_ray.protection.verify import Verification
from ue_ray.storage.outputs.formats import FORMATS


def kinds_of_files(output: Path) -> dict[str, list[Path]]:
    """The files of an output on disk, by what they are."""
    kinds = {
        "_SUCCESS": ["_SUCCESS"],
        "manifest.json": ["manifest.json"],
        "card": ["noise/card.json"],
        "tensors": ["noise/*.safetensors"],
        "recorded": ["data/part-*", "index/part-*"],
        "image": ["data/*/**/*.*"],
        "rejected": ["rejected/part-*"],
    }
    found = {kind: sorted(path for glob in globs for path in output.glob(glob)) for kind, globs in kinds.items()}
    return {kind: paths for kind, paths in found.items() if paths}


def flip_caught(output: Path, path: Path, rng: np.random.Generator) -> bool:
    """Flip one random bit of ``path``, say whether verification finds a fault, and flip it back."""
    data = path.read_bytes()
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(changed)
    try:
        return any(True for _ in Verification(str(output)).faults())
    finally:
        path.write_bytes(data)


def main() -> None:
    from tests.outputs import make_output, make_photos

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    counts: dict[str, dict[str, int]] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder) / "photos")
        places = []
        for format in FORMATS:
            make_output(photos, f"{folder}/{format}", format)
            places += [(format, kind, paths) for kind, paths in kinds_of_files(Path(folder) / format).items()]
        for number in range(options.flips):
            format, kind, paths = places[number % len(places)]
            caught = flip_caught(Path(folder) / format, paths[rng.integers(len(paths))], rng)
            row = counts.setdefault(f"{format}: {kind}", {"caught": 0, "total": 0})
            row["caught"] += caught
            row["total"] += 1
    total = {name: sum(row[name] for row in counts.values()) for name in ("caught", "total")}
    for name, row in counts.items():
        print(f"{row['caught']:4} of {row['total']:4}  {name}")
    print(f"{total['caught']:4} of {total['total']:4} flips caught")
    if options.output:
        result = {
            "command": shlex.join(["python", *sys.argv]),
            "machine": machine(),
            "versions": versions(),
            "seed": options.seed,
            "seconds": round(time.monotonic() - started, 1),
            **total,
            "by_file": counts,
        }
        Path(options.output).write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(total["caught"] != total["total"])


if __name__ == "__main__":
    main()
