"""What exchanging class-wise deltas costs a global batch: actors, beside collectives, beside the step they serve.

    python benchmarks/delta_exchange.py --tables 10x32 1000x32 10575x112 --output benchmarks/results/delta-exchange.json

Two workers share a global batch of 128 rows with labels drawn at random. Timed, for every batch on every worker:

- replicated: the product's ``ReplicatedDeltas``: all-reduces (gloo) of all classes' counts and the touched ones' sums;
- actors: the product's ``SharedDeltas``: pull the deltas of one's own rows, push the sums of the stepped ones;
- gather: each worker holds the whole table; an all-gather of the touched classes' sums, then the same mean;
- step: what lies between a pull and a push, one PGD step of the surrogate on this worker's rows.

A batch ends when both workers have the next version. Medians over batches and workers, in milliseconds. Linux.
"""

from __future__ import annotations

import argparse
import json
import shlex
import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import torch
import torch.distributed as dist
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from ue_ray.distributed import cluster
from ue_ray.distributed.crafting.delta_actors import SharedDeltas
from ue_ray.distributed.crafting.workers import default_table
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.class_deltas import ClassDeltas, ReplicatedDeltas, mean_delta
from ue_ray.noise.crafting.surrogate import Surrogate
from ue_ray.noise.methods import new_method, noise_config

BUDGET = Budget(8 / 255)
BATCH = 128
WORKERS = 2
STEPS = 20
WAYS = ("replicated", "actors", "gather")


class Worker:
    """One of the two; all methods are called on both together."""

    def __init__(self, number: int, port: int) -> None:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=number, world_size=WORKERS)
        self.number = number

    def table(self, deltas: ClassDeltas | None, classes: int, side: int, batches: int) -> list[float]:
        """Of the product's: ``deltas``, or a table replicated in both."""
        table = deltas if deltas is not None else ReplicatedDeltas(classes, side, BUDGET)

        def exchange(version: int, touched: Tensor, members: Tensor, stepped: Tensor, counts: Tensor) -> float:
            started = time.perf_counter()
            table.pull(touched, version)
            pulled = time.perf_counter() - started
            sums = torch.zeros(len(touched), *stepped.shape[1:]).index_add_(0, members, stepped)
            dist.barrier()  # the step in between takes as long on both
            started = time.perf_counter()
            table.push(version, touched, sums, counts)
            table.pull(touched[:1], version + 1)  # there once both have pushed
            return pulled + time.perf_counter() - started

        return self._run(exchange, classes, side, batches)

    def gather(self, classes: int, side: int, batches: int) -> list[float]:
        table = torch.zeros(classes, 3, side, side)

        def exchange(version: int, touched: Tensor, members: Tensor, stepped: Tensor, counts: Tensor) -> float:
            sums = torch.zeros(len(touched), *stepped.shape[1:]).index_add_(0, members, stepped)
            dist.barrier()
            started = time.perf_counter()
            most = torch.tensor([len(touched)])
            dist.all_reduce(most, dist.ReduceOp.MAX)
            padded = torch.zeros(int(most), 2 + sums[0].numel())  # class, count, sum
            padded[:, 0] = -1
            padded[: len(touched), 0] = touched
            padded[: len(touched), 1] = counts
            padded[: len(touched), 2:] = sums.flatten(1)
            parts = [torch.empty_like(padded) for _ in range(WORKERS)]
            dist.all_gather(parts, padded)
            every = torch.cat(parts)
            every = every[every[:, 0] >= 0]
            rows, at = every[:, 0].to(torch.int64).unique(return_inverse=True)
            total = torch.zeros(len(rows), every.shape[1] - 1).index_add_(0, at, every[:, 1:])
            table[rows] = mean_delta(BUDGET, table[rows], total[:, 1:].view(-1, 3, side, side), total[:, 0])
            table[touched]
            return time.perf_counter() - started

        return self._run(exchange, classes, side, batches)

    def step(self, classes: int, side: int, surrogate: str) -> list[float]:
        names = [str(label) for label in range(classes)]
        config = noise_config({"surrogate": surrogate}, names, images=BATCH, side=side)
        network = Surrogate(config, new_method(config, Compute.detect("cpu")).options, Compute.detect("cpu"))
        rows = BATCH // WORKERS
        images, labels = torch.rand(rows, 3, side, side), torch.randint(classes, (rows,))
        took = []
        for _ in range(2 + STEPS):
            dist.barrier()
            started = time.perf_counter()
            network.minimise(images, torch.zeros(rows, 3, side, side), labels, seed=0)
            took.append(time.perf_counter() - started)
        return took[2:]

    def _run(self, exchange: Callable[..., float], classes: int, side: int, batches: int) -> list[float]:
        took = []
        for version in range(batches + 2):
            generator = torch.Generator().manual_seed(version * WORKERS + self.number)
            labels = torch.randint(classes, (BATCH // WORKERS,), generator=generator)
            touched, members = labels.unique(return_inverse=True)
            counts = torch.bincount(members, minlength=len(touched)).to(torch.float32)
            stepped = torch.rand(len(labels), 3, side, side, generator=generator)
            dist.barrier()
            took.append(exchange(version, touched, members, stepped, counts))
        return took[2:]


def both(workers: list[Any], method: str, *arguments: Any) -> dict[str, float]:
    """The median and the quartiles over batches and workers, in milliseconds."""
    took = ray.get([getattr(worker, method).remote(*arguments) for worker in workers])
    low, middle, high = statistics.quantiles([1000 * seconds for part in took for seconds in part], n=4)
    return {"median": round(middle, 2), "quartiles": [round(low, 2), round(high, 2)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["10x32", "1000x32", "10575x112"], help="classes x side")
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--surrogate", default="resnet9", help="of the step; the larger, the smaller the share")
    parser.add_argument("--output")
    options = parser.parse_args()
    cluster.connect()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers: list[Any] = [
        ray.remote(Worker).options(num_cpus=0).remote(number, port)  # type: ignore[attr-defined]
        for number in range(WORKERS)
    ]
    result: dict[str, Any] = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": machine(),
        "versions": versions(),
        "workers": WORKERS,
        "batch": BATCH,
        "batches": options.batches,
        "surrogate": options.surrogate,
        "milliseconds": {},
    }
    print(f"{'table':>12} {' '.join(f'{way:>10}' for way in WAYS)} {'step':>10}  default: exchange / (exchange + step)")
    for name in options.tables:
        classes, side = map(int, name.split("x"))
        found = {"replicated": both(workers, "table", None, classes, side, options.batches)}
        deltas = SharedDeltas.create(classes, side, BUDGET, WORKERS, shards=WORKERS)
        found["actors"] = both(workers, "table", deltas, classes, side, options.batches)
        del deltas  # and its actors' memory
        found["gather"] = both(workers, "gather", classes, side, options.batches)
        found["step"] = both(workers, "step", classes, side, options.surrogate)
        default = default_table(classes, side, "cpu")
        exchange, step = found[default]["median"], found["step"]["median"]
        share = exchange / (exchange + step)
        result["milliseconds"][name] = found | {"default": default, "share": round(share, 4)}
        cells = [f"{found[way]['median']:10.1f}" for way in WAYS]
        print(f"{name:>12} {' '.join(cells)} {step:10.1f}  {default}: {100 * share:.1f} %", flush=True)
        if options.output:
            Path(options.output).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
