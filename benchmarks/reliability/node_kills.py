"""Three Ray nodes, one of which (or a worker, or a delta actor) is killed midway: does the run end right?

    python benchmarks/reliability/node_kills.py --work /tmp/ue-nodes --runs 24 \
        --output benchmarks/results/reliability/node_kills.json

A head without CPUs and two nodes of two (``ray.cluster_utils.Cluster``: processes of this machine) run the real command
with two Train workers. SIGKILL strikes a Train or apply worker, a delta actor, or a node with all that runs on it, at a
moment drawn uniformly over the time that such a process lived in an uninterrupted run. Where a delta actor is to die,
class-wise deltas are in actors; else in the workers. A killed node is replaced at
once, or stays away: then the run has ``--min-workers 1``. A run that fails is started again with --mode resume. Each
output is verified against its input; of applying, every pixel is compared with the uninterrupted run's (of crafting
only the ids: which worker got which rows decides the last bits). Started again, it goes on where it was. Linux.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ray.cluster_utils import Cluster

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.processes import Process, Watch, end, family
from benchmarks.reliability.jobs import ROOT, circumstances, compare, faults, outcome, parser, write
from benchmarks.reliability.kill_runs import ACTORS, CRAFTING, ENVIRONMENT, LIMIT, MOST_RESUMES, TARGETS, make_inputs

NODE = {"num_cpus": 2, "object_store_memory": 200 << 20}
SCENARIOS = [  # what, target, whether a killed node comes back
    ("craft", "node", True),
    ("apply", "node", True),
    ("craft", "worker", True),
    ("craft", "node", False),
    ("apply", "worker", True),
    ("craft", "delta", True),
    ("apply", "node", False),
    ("craft", "worker", True),
]


class Nodes:
    """The cluster; ``restore`` brings it back to two worker nodes."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="ue-", dir="/tmp"))  # sockets want a short path
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "temp_dir": str(self.place), "object_store_memory": 200 << 20},
        )
        self.workers: list[Any] = []
        self.restore()

    def restore(self) -> None:
        for node in [node for node in self.workers if not self.raylet(node)]:
            self.cluster.remove_node(node, allow_graceful=False)  # what is left of it
            self.workers.remove(node)
        while len(self.workers) < 2:
            self.workers.append(self.cluster.add_node(**NODE))
        self.cluster.wait_for_nodes()

    @staticmethod
    def raylet(node: Any) -> list[Process]:
        """A node's raylet and all that it has started; empty once it is gone."""
        return family(node.all_processes["raylet"][0].process.pid)

    def close(self) -> None:
        members = [process for process in family(os.getpid()) if process.pid != os.getpid()]
        self.cluster.shutdown()
        end(members, 5)
        shutil.rmtree(self.place, ignore_errors=True)


class Striker:
    """Kills one process of a target, or a node, ``at`` so many seconds after the start or at the first chance then."""

    def __init__(self, nodes: Nodes, target: str, at: float, rng: np.random.Generator) -> None:
        self.nodes = nodes
        self.target = target
        self.at = at
        self.rng = rng
        self.started = time.monotonic()
        self.killed = ""

    def __call__(self, members: list[Process]) -> None:
        if self.killed or time.monotonic() - self.started < self.at:
            return
        if self.target == "node":
            node = self.nodes.workers[self.rng.integers(len(self.nodes.workers))]
            for process in self.nodes.raylet(node):
                process.kill()
            self.killed = "node"
            return
        victims = [process for process in members if process.kind in TARGETS[self.target]]
        if victims and (victim := victims[self.rng.integers(len(victims))]).kill():
            self.killed = victim.kind


def start(
    work: Path, nodes: Nodes, what: str, output: Path, fewer: bool = False, actors: bool = True
) -> subprocess.Popen[bytes]:
    how = [*CRAFTING, "--num-workers", "2", *(["--min-workers", "1"] if fewer else []), *(ACTORS if actors else [])]
    if what == "apply":
        how = ["--artifact", str(work / "whole-craft" / "noise")]
    environment = {**os.environ, **ENVIRONMENT, "RAY_ADDRESS": nodes.cluster.address, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "pipelines" / "protect_dataset.py"), "--input", str(work / what)]
    with (work / "log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--output", str(output), "--mode", "resume", *how],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )


def uninterrupted(work: Path, what: str) -> dict[str, Any]:
    """Its seconds and when there was which process: measured once, and remembered in ``work``."""
    notes, output = work / f"whole-{what}.json", work / f"whole-{what}"
    if not notes.exists():
        shutil.rmtree(output, ignore_errors=True)
        nodes = Nodes()
        try:
            started = time.monotonic()
            with Watch(os.getpid()) as watch:
                status = start(work, nodes, what, output).wait(LIMIT)
            seconds = time.monotonic() - started
        finally:
            nodes.close()
        if status:
            sys.exit(f"the uninterrupted run failed: {(work / 'log').read_text()[-500:]}")
        notes.write_text(json.dumps({"seconds": seconds, "spans": watch.spans}))
    found: dict[str, Any] = json.loads(notes.read_text())
    return found


def node_run(work: Path, number: int, seed: int, whole: dict[str, dict[str, Any]]) -> dict[str, Any]:
    what, target, comes_back = SCENARIOS[number % len(SCENARIOS)]
    rng = np.random.default_rng([seed, number])
    kinds = TARGETS["worker"] if target == "node" else TARGETS[target]
    spans = [whole[what]["spans"][kind] for kind in kinds if kind in whole[what]["spans"]]
    at = float(rng.uniform(min(first for first, _ in spans), max(last for _, last in spans)))
    output = work / "struck"
    shutil.rmtree(output, ignore_errors=True)
    (work / "log").unlink(missing_ok=True)
    nodes = Nodes()
    statuses: list[int | None] = []
    try:
        started = time.monotonic()
        striker = Striker(nodes, target, at, rng)
        with Watch(os.getpid(), look=striker):
            while not statuses or (statuses[-1] and len(statuses) <= MOST_RESUMES):
                process = start(work, nodes, what, output, fewer=not comes_back, actors=target == "delta")
                limit = time.monotonic() + LIMIT
                while process.poll() is None and time.monotonic() < limit:
                    time.sleep(0.2)
                    if striker.killed == "node" and comes_back and not all(map(nodes.raylet, nodes.workers)):
                        nodes.restore()
                if process.poll() is None:
                    process.kill()
                    process.wait()
                    statuses.append(None)
                    break
                statuses.append(process.returncode)
        seconds = time.monotonic() - started
    finally:
        nodes.close()
    result: dict[str, Any] = {
        "run": number,
        "what": what,
        "target": target,
        "comes_back": comes_back,
        "kill_at": round(at, 1),
        "killed": striker.killed,
        "statuses": statuses,
        "seconds": round(seconds, 1),
        "overhead": round(seconds - whole[what]["seconds"], 1),
    }
    if statuses[-1] == 0:
        expected = outcome(str(work / f"whole-{what}"))
        compared = compare(expected, outcome(str(output)))
        if what == "craft":
            del compared["changed"]
        result |= {**compared, "faults": faults(str(output), str(work / what))}
    else:
        result["said"] = (work / "log").read_text(errors="replace")[-500:]
    return result


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    hit = [run for run in runs if run["killed"]]
    finished = [run for run in hit if run["statuses"][-1] == 0]
    return {
        "n": len(hit),
        "without_a_kill": len(runs) - len(hit),
        "finished": len(finished),
        "by_itself": sum(run["statuses"] == [0] for run in hit),
        **{name: sum(run.get(name, 0) for run in finished) for name in ("lost", "doubled", "changed")},
        "with_faults": sum(bool(run["faults"]) for run in finished),
        "hangs": sum(None in run["statuses"] for run in hit),
        "overhead_median_s": float(np.median([run["overhead"] for run in finished])) if finished else None,
        "by_target": {name: sum(run["target"] == name for run in hit) for name in ("node", "worker", "delta")},
    }


def main() -> None:
    command_line = parser(__doc__, resumes=True)
    command_line.add_argument("--runs", type=int, default=24, help="that did kill something")
    command_line.add_argument("--seed", type=int, default=0)
    options = command_line.parse_args()
    work, place = Path(options.work), Path(options.output)
    work.mkdir(parents=True, exist_ok=True)
    make_inputs(work)
    whole = {what: uninterrupted(work, what) for what in ("craft", "apply")}
    runs: list[dict[str, Any]] = json.loads(place.read_text())["runs"] if place.exists() else []
    head = circumstances()
    while sum(bool(run["killed"]) for run in runs) < options.runs:
        runs.append(node_run(work, len(runs), options.seed, whole))
        print(runs[-1], flush=True)
        seconds = {what: round(found["seconds"], 1) for what, found in whole.items()}
        write(place, {**head, "seed": options.seed, "uninterrupted_s": seconds, **summary(runs), "runs": runs})
    found = summary(runs)
    print(json.dumps(found, indent=1))
    bad = ("lost", "doubled", "changed", "with_faults", "hangs")
    sys.exit(any(found[name] for name in bad) or found["finished"] != found["n"])


if __name__ == "__main__":
    main()
