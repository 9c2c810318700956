"""Over a thousand hostile files among good images through the real command: does it end, and what memory does it take?

    python benchmarks/reliability/hostile_files.py --work /tmp/ue-hostile \
        --output benchmarks/results/reliability/hostile_files.json

The files are mutations, with a fixed seed, of one good file of every kind, and bombs (``tests/hostile.py``). Every
input must end as protected or rejected, every good image as protected, and the peak resident memory of each kind of
process is stated. Linux.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability.jobs import Job, circumstances, faults, parser, protected, rejected, write
from tests.hostile import bombs, mutations, seeds
from ue_ray.storage.inputs.open_source import open_source

LIMIT = 900  # seconds


def make_input(root: Path, mutants: int, good: int, seed: int) -> dict[str, int]:
    """``root/{a,b}/...``; returns how many files of each sort there are."""
    rng = np.random.default_rng(seed)
    sorts: dict[str, list[bytes]] = {"good": [], "seeds": list(seeds().values()), "bombs": list(bombs().values())}
    each = -(-mutants // len(sorts["seeds"]))
    sorts["mutants"] = [m for data in sorts["seeds"] for m in mutations(data, sorts["seeds"], each, rng)]
    source = open_source("mnist5k")
    rows = source.list().table
    sorts["good"] = list(source.read(rows.take(rng.permutation(len(rows))[:good])))  # type: ignore[arg-type]
    shutil.rmtree(root, ignore_errors=True)
    files = [(f"{sort}-{number:04}", data) for sort, found in sorts.items() for number, data in enumerate(found)]
    for place, (name, data) in zip(rng.permutation(len(files)), files, strict=True):
        path = root / "ab"[place % 2] / f"{place:05}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return {sort: len(found) for sort, found in sorts.items()}


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--mutants", type=int, default=1500)
    command_line.add_argument("--good", type=int, default=500)
    command_line.add_argument("--seed", type=int, default=0)
    options = command_line.parse_args()
    work = Path(options.work)
    output = work / "out"
    shutil.rmtree(output, ignore_errors=True)
    counts = make_input(work / "in", options.mutants, options.good, options.seed)
    head = circumstances()
    arguments = ["--input", str(work / "in"), "--output", str(output), "--method", "random", "--epsilon", "8/255"]
    done = Job(work, arguments).run(LIMIT)
    if done.status != 0:
        sys.exit(f"ended with {done.status}: {done.last_line}")

    def sort(key: str) -> str:
        return key.rpartition("/")[2].split("-")[1]

    kept = Counter(sort(entry.key) for entry in protected(str(output)))
    refused = list(rejected(str(output)))
    lost = Counter(sort(row["key"]) for row in refused)
    reasons = Counter(row["reason"] for row in refused)
    deaths = {reason: count for reason, count in reasons.items() if "killed the decoder" in reason or "took" in reason}
    table = {name: {"files": count, "protected": kept[name], "rejected": lost[name]} for name, count in counts.items()}
    found = faults(str(output), str(work / "in"))
    result = {
        **head,
        "seed": options.seed,
        "n": sum(counts.values()) - counts["good"] - counts["seeds"],
        "files": table,
        "crashes": int(done.crashed),
        "hangs": int(done.status is None),
        "unaccounted": sum(counts.values()) - kept.total() - lost.total(),
        "faults": found,
        "decoder_deaths": deaths,
        "seconds": round(done.seconds, 1),
        "peak_mib": done.watch.peaks_mib(),
        "reasons": dict(reasons.most_common(30)),
    }
    for name, row in table.items():
        print(f"{name:8} {row['files']:5} files: {row['protected']:5} protected, {row['rejected']:5} rejected")
    for kind in ("decoder", "ray::MapWorker", "driver"):
        print(f"{result['peak_mib'].get(kind, 0):6} MiB at most: {kind}")
    for name in ("crashes", "hangs", "unaccounted", "decoder_deaths", "faults", "seconds"):
        print(f"{name}: {result[name]}")
    write(options.output, result)
    sys.exit(bool(done.crashed or result["unaccounted"] or found or lost["good"] or lost["seeds"]))


if __name__ == "__main__":
    main()
