"""Runs that are killed at a random moment and started again: is every input there once, with the same pixels?

    python benchmarks/reliability/kill_runs.py --work /tmp/ue-kills --runs 52 \
        --output benchmarks/results/reliability/kill_runs.json

Each run starts the real command, sends SIGKILL to the driver, a worker (of crafting or of applying) or a delta actor at
a moment drawn uniformly over the time that such a process lived in an uninterrupted run, and starts the same command
again with --mode resume until it ends well. A run that ends before its moment is not counted, but times the next ones.
Half of the runs craft, half apply an artifact, in each format in turn.
Compared with the uninterrupted run: each sample_id with the SHA-256 of its decoded pixels, each rejection with its
reason, and the noise to the bit. Started again with the same --output, it goes on where it was. Linux.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.processes import Process
from benchmarks.reliability.jobs import Job, circumstances, compare, faults, outcome, parser, write
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.formats import FORMATS

LIMIT = 400  # seconds; a run that takes longer hangs
MOST_RESUMES = 4
CRAFTING = ["--max-rounds", "6", "--weight-steps", "4", "--surrogate", "resnet9"]
ACTORS = ["--delta-table", "actors"]  # which so small a table would not be in by itself
# How often Train looks at its workers; 2 s by default. It makes recovery quicker, and more runs fit into an hour.
ENVIRONMENT = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}
TARGETS = {
    "driver": ("driver",),
    "worker": ("ray::RayTrainWorker", "ray::MapWorker"),
    "delta": ("ray::DeltaShard",),
}
SCENARIOS = [("craft", "driver"), ("apply", "worker"), ("craft", "delta"), ("apply", "driver"), ("craft", "worker")]
SCENARIOS += [("apply", "driver"), ("craft", "delta"), ("apply", "worker")]


def make_inputs(work: Path) -> None:
    """``work/craft``: 1,334 digits, 2 shards; ``work/apply``: 5,000, 5 shards; each with a few that cannot be used."""
    for name, parts, step in (("craft", ["mnist5k"], 3), ("apply", ["mnist5k", "mnist5k-test"], 1)):
        root = work / name
        if root.exists():
            continue
        staging = work / f"{name}.part"
        shutil.rmtree(staging, ignore_errors=True)
        for part in parts:
            source = open_source(part)
            rows = source.list().table
            for number, (label, data) in enumerate(zip(rows["label"].to_pylist(), source.read(rows), strict=True)):
                if number % step == 0:
                    place = staging / str(label) / f"{part}-{number:05}.png"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(data)  # type: ignore[arg-type]
        whole = next(staging.glob("7/*")).read_bytes()
        (staging / "3" / "cut.png").write_bytes(whole[: len(whole) // 2])
        (staging / "5" / "empty.png").write_bytes(b"")
        (staging / "8" / "notes.txt").write_text("no image")
        (staging / "stray.png").write_bytes(whole)
        staging.rename(root)


def arguments(work: Path, what: str, output: Path, format: str = "parquet") -> list[str]:
    how = [*CRAFTING, *ACTORS] if what == "craft" else ["--artifact", str(work / "whole-craft" / "noise")]
    return ["--input", str(work / what), "--output", str(output), "--format", format, "--mode", "resume", *how]


class Whole:
    """An uninterrupted run: made once, and remembered in ``work``."""

    def __init__(self, work: Path, what: str) -> None:
        output = work / f"whole-{what}"
        notes = work / f"whole-{what}.json"
        if not notes.exists():
            shutil.rmtree(output, ignore_errors=True)
            done = Job(work, arguments(work, what, output), ENVIRONMENT).run(LIMIT)
            if done.status != 0:
                sys.exit(f"the uninterrupted run failed: {done.last_line}")
            notes.write_text(json.dumps({"seconds": done.seconds, "spans": done.watch.spans}))
        found = json.loads(notes.read_text())
        self.seconds: float = found["seconds"]
        self.spans: dict[str, tuple[float, float]] = found["spans"]
        self.outcome = outcome(str(output))
        self.noise = noise_digest(output)

    def span(self, target: str) -> tuple[float, float]:
        """When there was a process of this target."""
        if target == "driver":
            return 0.0, self.seconds
        spans = [self.spans[kind] for kind in TARGETS[target] if kind in self.spans]
        return min(start for start, _ in spans), max(stop for _, stop in spans)


class Killer:
    """Kills one process of a target, ``at`` so many seconds after the start or as soon as there is one after that."""

    def __init__(self, target: str, at: float, output: Path, rng: np.random.Generator) -> None:
        self.target = target
        self.at = at
        self.output = output
        self.rng = rng
        self.started = time.monotonic()
        self.killed: dict[str, Any] | None = None

    def __call__(self, members: list[Process]) -> None:
        after = time.monotonic() - self.started
        if self.killed or after < self.at:
            return
        if self.target == "driver":
            victims = [process for process in members if process.pid == min(members, key=_age).pid]
        else:
            victims = [process for process in members if process.kind in TARGETS[self.target]]
        if victims:
            victim = victims[self.rng.integers(len(victims))]
            phase, shards = self.phase()
            if victim.kill():
                kind = "driver" if self.target == "driver" else victim.kind
                self.killed = {"process": kind, "after": round(after, 2), "phase": phase, "shards_done": shards}

    def phase(self) -> tuple[str, int]:
        """How far the run had come, and how many shards it had finished."""
        records = len(list((self.output / "_work" / "records").glob("part-*")))
        if not (self.output / "_work" / "run.json").exists():
            return ("start" if not (self.output / "_SUCCESS").exists() else "end"), records
        if (self.output / "_SUCCESS").exists():
            return "commit", records
        if (self.output / "noise" / "card.json").exists():
            return "apply", records
        checkpoint = (self.output / "_work" / "craft" / "latest.json").exists()
        return ("craft, from a checkpoint" if checkpoint else "craft"), records


def _age(process: Process) -> tuple[int, int]:
    return process.started, process.pid


def kill_run(work: Path, number: int, seed: int, wholes: dict[str, Whole]) -> dict[str, Any]:
    what, target = SCENARIOS[number % len(SCENARIOS)]
    whole = wholes[what]
    rng = np.random.default_rng([seed, number])
    format = "parquet" if what == "craft" else list(FORMATS)[number // 2 % len(FORMATS)]
    output = work / "killed"
    shutil.rmtree(output, ignore_errors=True)
    started = time.monotonic()
    killer = Killer(target, float(rng.uniform(*whole.span(target))), output, rng)
    job = Job(work, arguments(work, what, output, format), ENVIRONMENT)
    done = job.run(LIMIT, 0.05, killer)
    if done.status == 0 and not killer.killed:  # over before its time: the machine has become quicker
        whole.spans, whole.seconds = dict(done.watch.spans), done.seconds
    hangs, leftovers, tracebacks, resumes = done.status is None, list(done.leftovers), "Traceback" in done.said, 0
    last = done.last_line
    statuses = [done.status]
    while done.status != 0 and resumes < MOST_RESUMES:
        resumes += 1
        done = job.run(LIMIT)
        hangs += done.status is None
        tracebacks += "Traceback" in done.said
        leftovers += done.leftovers
        statuses.append(done.status)
    result: dict[str, Any] = {
        "run": number,
        "what": what,
        "target": target,
        "format": format,
        "kill_at": round(killer.at, 2),
        "killed": killer.killed,
        "statuses": statuses,
        "resumes": resumes,
        "hangs": int(hangs),
        "tracebacks": int(tracebacks),
        "leftovers": leftovers,
        "said": last if killer.target != "driver" else "",
        "seconds": round(time.monotonic() - started, 1),
    }
    if done.status == 0:
        result |= compare(whole.outcome, outcome(str(output)))
        result["faults"] = faults(str(output), str(work / what))
        result["same_noise"] = noise_digest(output) == whole.noise
    return result


def noise_digest(output: Path) -> str:
    """The SHA-256 of the noise's tensors."""
    digest: str = json.loads((output / "noise" / "card.json").read_text())["tensors"]["sha256"]
    return digest


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    hit = [run for run in runs if run["killed"]]
    finished = [run for run in hit if run["statuses"][-1] == 0]
    processes = sorted({run["killed"]["process"] for run in hit})
    phases = sorted({run["killed"]["phase"] for run in hit})
    return {
        "n": len(hit),
        "without_a_kill": len(runs) - len(hit),
        "finished": len(finished),
        **{name: sum(run[name] for run in finished) for name in ("lost", "doubled", "changed")},
        "with_faults": sum(bool(run["faults"]) for run in finished),
        "same_noise": sum(run["same_noise"] for run in finished),
        "hangs": sum(run["hangs"] for run in hit),
        "tracebacks": sum(run["tracebacks"] for run in hit),
        "resumes": sum(run["resumes"] for run in hit),
        "recovered_without_a_resume": sum(run["resumes"] == 0 for run in finished),
        "by_process": {name: sum(run["killed"]["process"] == name for run in hit) for name in processes},
        "by_phase": {name: sum(run["killed"]["phase"] == name for run in hit) for name in phases},
        "seconds": round(sum(run["seconds"] for run in runs)),
    }


def main() -> None:
    command_line = parser(__doc__, resumes=True)
    command_line.add_argument("--runs", type=int, default=52, help="that did kill a process")
    command_line.add_argument("--seed", type=int, default=0)
    options = command_line.parse_args()
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    make_inputs(work)
    wholes = {what: Whole(work, what) for what in ("craft", "apply")}
    place = Path(options.output)
    runs: list[dict[str, Any]] = json.loads(place.read_text())["runs"] if place.exists() else []
    head = circumstances()
    while sum(bool(run["killed"]) for run in runs) < options.runs:
        runs.append(kill_run(work, len(runs), options.seed, wholes))
        print(runs[-1], flush=True)
        inputs = {
            what: {"inputs": len(whole.outcome), "seconds": round(whole.seconds, 1)} for what, whole in wholes.items()
        }
        head |= {"seed": options.seed, "environment": ENVIRONMENT, "uninterrupted": inputs, **summary(runs)}
        write(place, {**head, "runs": runs})
    for name, value in summary(runs).items():
        print(f"{name:28} {value}")
    bad = ("lost", "doubled", "changed", "with_faults", "hangs", "tracebacks")
    found = summary(runs)
    sys.exit(any(found[name] for name in bad) or found["finished"] != found["n"])


if __name__ == "__main__":
    main()
