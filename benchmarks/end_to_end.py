"""The whole job beside the same work without Ray, on one core and on both; and victims an hour.

    python benchmarks/end_to_end.py --data data/train.parquet --test data/test.parquet --work /tmp/ue-e2e \
        --output benchmarks/results/end-to-end-cpu.json

Each way is a command of its own, timed from its start to its end, in turn, ``--repeats`` times:

- ray: ``pipelines/protect_dataset.py``, one Train worker with all cores;
- ray, 2 workers: two with half the cores each;
- ray, 1 core: one worker, all of the job on one core (Linux);
- bare: ``benchmarks/bare_loop.py protect``.

All craft for the same number of rounds on the same images, so all do the same arithmetic. Each also runs on next to
nothing, for its start-up, which is taken off before ray and bare, one core and two workers are compared. Victims: three
of ResNet-9 on the protected images, by ``pipelines/evaluate_victims.py`` and by ``bare_loop.py judge``, start-up
included.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.reliability.jobs import Job
from ue_ray.learning.machine import machine, versions

LIMIT = 1800.0
WAYS = {  # the workers and the cores; no workers: bare
    "ray": (1, None),
    "bare": (0, None),
    "ray, 2 workers": (2, None),
    "ray, 1 core": (1, 1),
}
VICTIMS = 3


@dataclass(frozen=True)
class EndToEnd:
    """What to measure."""

    data: str
    """Parquet, labelled: what is protected."""
    test: str
    """Parquet: what victims are judged on."""
    work: str
    """A folder for outputs: removed as they are measured."""
    output: str
    """Where the results go (JSON); written as each round ends. Started again, it adds to them."""
    ways: tuple[str, ...] = tuple(WAYS)
    rounds: int = 4
    repeats: int = 3
    epochs: int = 3
    """Of the victims."""
    victims: int = 2
    """How often the victims are trained."""
    victim_images: int = 5000


def command(way: str, data: str, output: Path, rounds: int) -> tuple[str, list[str]]:
    """(script, arguments)."""
    workers, _ = WAYS[way]
    if not workers:
        return "benchmarks/bare_loop.py", ["protect", "--input", data, "--output", str(output), "--rounds", str(rounds)]
    fixed = ["--max-rounds", str(rounds), "--stop-error", "0", "--surrogate", "resnet9", "--use-gpu", "no"]
    return "pipelines/protect_dataset.py", [
        *["--input", data, "--output", str(output), "--num-workers", str(workers)],
        *fixed,
    ]


def seconds(work: Path, script: str, arguments: list[str], cores: int | None = None) -> float:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, set(sorted(allowed)[:cores]))
        done = Job(work, arguments, pipeline=f"../{script}").run(LIMIT, every=1.0)
    finally:
        os.sched_setaffinity(0, allowed)
    if done.status:
        sys.exit(f"{script}: {done.said[-1000:]}")
    return done.seconds


def first(table: Any, count: int, place: Path) -> str:
    """Every n-th row of a table as a file, ``count`` in all."""
    pq.write_table(table.take(list(range(0, table.num_rows, max(1, table.num_rows // count)))[:count]), place)
    return str(place)


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
        "n": len(values),
    }


def main(options: EndToEnd) -> None:
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    data = str(Path(options.data).resolve())
    table = pq.read_table(data)
    images = {"whole": table.num_rows, "nothing": 200}
    inputs = {"whole": data, "nothing": first(table, 200, work / "nothing.parquet")}
    result: dict[str, Any] = {
        "command": shlex.join(["python", *(re.sub(r"^/.*/", "", part) for part in sys.argv)]),
        "machine": machine(),
        "versions": versions(),
        "images": table.num_rows,
        "rounds": options.rounds,
        "taken": {way: {"whole": [], "nothing": []} for way in WAYS},
    }
    if Path(options.output).exists():
        result = json.loads(Path(options.output).read_text())
    taken: dict[str, dict[str, list[float]]] = result["taken"]

    def write() -> None:
        Path(options.output).write_text(json.dumps(result, indent=2) + "\n")

    for _ in range(options.repeats):
        for way in options.ways:
            for size, place in inputs.items():
                output = work / "out"
                shutil.rmtree(output, ignore_errors=True)
                script, arguments = command(way, place, output, options.rounds if size == "whole" else 1)
                taken[way][size].append(seconds(work, script, arguments, WAYS[way][1]))
                print(f"{way:16} {images[size]:7,} images {taken[way][size][-1]:8.1f} s", flush=True)
        net = {way: [w - n for w, n in zip(both["whole"], both["nothing"], strict=True)] for way, both in taken.items()}
        result["start_up"] = {way: spread(both["nothing"]) for way, both in taken.items() if both["nothing"]}
        result["without_start_up"] = {way: spread(found) for way, found in net.items() if found}
        for name, one, other in (
            ("ray_to_bare", "ray", "bare"),
            ("one_core_to_two_workers", "ray, 1 core", "ray, 2 workers"),
        ):
            if net[one] and net[other]:
                result[name] = spread([a / b for a, b in zip(net[one], net[other], strict=True)])
        write()
    shutil.rmtree(work / "out", ignore_errors=True)
    if not options.victims:
        return
    clean = first(table, options.victim_images, work / "clean.parquet")
    protected = work / "protected"
    shutil.rmtree(protected, ignore_errors=True)
    seconds(work, *command("ray", clean, protected, 1))
    sets = ["--clean", clean, "--protected", str(protected), "--test", str(Path(options.test).resolve())]
    sets += ["--epochs", str(options.epochs)]
    judging = ["--victims", "resnet9", "--batch-size", "64", "--learning-rate", "0.05"]
    hourly: dict[str, list[float]] = {"ray": [], "bare": []}
    for _ in range(options.victims):
        report = work / "report"
        shutil.rmtree(report, ignore_errors=True)
        ways = {
            "ray": ("pipelines/evaluate_victims.py", [*sets, *judging, "--output", str(report)]),
            "bare": ("benchmarks/bare_loop.py", ["judge", *sets]),
        }
        for way, (script, arguments) in ways.items():
            hourly[way].append(3600 * VICTIMS / seconds(work, script, arguments))
            print(f"{way:16} {hourly[way][-1]:8.1f} victims an hour", flush=True)
        result["victims_per_hour"] = {
            "images": options.victim_images,
            "epochs": options.epochs,
            **{way: spread(found) for way, found in hourly.items()},
        }
        write()


if __name__ == "__main__":
    main(tyro.cli(EndToEnd, description=__doc__))
