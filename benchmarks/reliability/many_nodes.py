"""Clusters of more and more nodes: what a run takes from the driver and the head, and how soon it is under way.

    python benchmarks/reliability/many_nodes.py --work /tmp/ue-many --output out/many_nodes.json

Each is a head without CPUs and so many nodes of one CPU (``ray.cluster_utils.Cluster``: processes of this machine, some
200 MiB each, so that a few dozen fit). The real command protects 5,000 digits in 5 shards there, with a noise that
needs no crafting; the output is compared with that of the smallest cluster. Seconds are of a machine that all nodes
share. Linux.
"""

from __future__ import annotations

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

from benchmarks.processes import Watch, end, family
from benchmarks.reliability.jobs import ROOT, circumstances, compare, outcome, parser, write
from benchmarks.reliability.kill_runs import LIMIT, make_inputs

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
SEEN = ("driver", "gcs_server", "raylet", "ray::protect:", "ray::MapWorker")


def measured(work: Path, nodes: int) -> dict[str, Any]:
    place = Path(tempfile.mkdtemp(prefix="ue-", dir="/tmp"))  # sockets want a short path
    output = work / f"of-{nodes}"
    shutil.rmtree(output, ignore_errors=True)
    head = {"num_cpus": 0, "temp_dir": str(place), "object_store_memory": 200 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        started = time.monotonic()
        for _ in range(nodes):
            cluster.add_node(wait=False, **NODE)
        cluster.wait_for_nodes(600)
        joined = time.monotonic() - started
        command = [sys.executable, str(ROOT / "pipelines" / "protect_dataset.py"), "--input", str(work / "apply")]
        environment = {**os.environ, "RAY_ADDRESS": cluster.address, "PYTHONPATH": str(ROOT)}
        log = work / "log"
        with log.open("wb") as file:
            started = time.monotonic()
            process = subprocess.Popen(
                [*command, "--output", str(output), "--check", "off"],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment,
            )  # fmt: skip
            with Watch(process.pid, 0.2) as driver, Watch(os.getpid(), 0.5) as all_of_it:
                status = process.wait(LIMIT)
        seconds = time.monotonic() - started
        if status:
            sys.exit(f"{nodes} nodes: {log.read_text(errors='replace')[-500:]}")
    finally:
        members = [process for process in family(os.getpid()) if process.pid != os.getpid()]
        cluster.shutdown()
        end(members, 5)
        shutil.rmtree(place, ignore_errors=True)
    peaks = {"driver": driver.peaks_mib()["driver"]} | {
        kind: mebibytes for kind, mebibytes in all_of_it.peaks_mib().items() if kind in SEEN[1:]
    }
    first = min(all_of_it.spans[kind][0] for kind in SEEN[3:] if kind in all_of_it.spans)
    return {
        "nodes": nodes, "joined_s": round(joined, 1), "seconds": round(seconds, 1),
        "first_worker_s": round(first, 1), "peak_mib": peaks,
    }  # fmt: skip


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--nodes", type=int, nargs="+", default=[1, 8, 16, 32])
    options = arguments.parse_args()
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    make_inputs(work)
    facts, rows = circumstances(), []
    for nodes in options.nodes:
        rows.append(measured(work, nodes))
        print(rows[-1], flush=True)
    expected = outcome(str(work / f"of-{options.nodes[0]}"))
    compared = [compare(expected, outcome(str(work / f"of-{nodes}"))) for nodes in options.nodes[1:]]
    lost = {name: sum(each[name] for each in compared) for name in ("lost", "doubled", "changed")}
    counts = [row["nodes"] for row in rows]
    a_node = {
        kind: round(float(np.polyfit(counts, [row["peak_mib"][kind] for row in rows], 1)[0]), 2)
        for kind in ("driver", "gcs_server")
    }
    write(options.output, facts | lost | {"mib_a_node": a_node, "rows": rows})
    print(f"{lost}; MiB for each further node: {a_node}")
    sys.exit(any(lost.values()))


if __name__ == "__main__":
    main()
