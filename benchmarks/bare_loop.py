"""Protecting and judging without Ray: what one machine does with the same parts, put together plainly.

    python benchmarks/bare_loop.py protect --input train.parquet --output out/bare --rounds 4
    python benchmarks/bare_loop.py judge --clean train.parquet --protected out/protected --test test.parquet --epochs 5

One process crafts with all cores, a pool with a process a core decodes before that and applies after it; victims are
trained one after the other with all cores. Nothing is checked, recorded or committed. ``end_to_end.py`` measures by it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))

from ue_ray.evaluation.training import TrainingPlan
from ue_ray.evaluation.victim import load_data_set, random_control, run_victim
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas
from ue_ray.noise.methods import new_method, noise_config, open_noise
from ue_ray.protection.shard import ShardProtector
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.blocks import Block, block_plan, decode_block, natural_side, probe_shapes, stratified_rows
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.shards import plan_shards

BUDGET = Budget(8 / 255)


@dataclass(frozen=True)
class Protect:
    """Class-wise noise: craft, apply."""

    input: str
    output: str
    rounds: int


@dataclass(frozen=True)
class Judge:
    """Three victims: on the clean, the randomly perturbed and the protected images."""

    clean: str
    protected: str
    test: str
    epochs: int
    victim: str = "resnet9"


class Reader:
    """What each process of the pool opens once, to decode blocks and then to protect shards."""

    current: Reader

    def __init__(self, uri: str, artifact: str, output: str) -> None:
        self.source = open_source(uri)
        self.listing = self.source.list()
        self.plan = plan_shards(self.listing.nbytes())
        self.artifact = artifact
        self.output = output
        self.protector: ShardProtector | None = None

    @staticmethod
    def start(*arguments: str) -> None:
        import torch

        torch.set_num_threads(1)
        Reader.current = Reader(*arguments)

    def protect(self, index: int) -> int:
        if self.protector is None:
            artifact = NoiseArtifact.load(self.artifact)
            noise = open_noise(artifact, Compute.detect("cpu"))
            names = self.listing.class_names
            self.protector = ShardProtector(self.source, names, artifact, noise, self.output)
        start, stop = self.plan[index]
        return self.protector.protect(index, self.listing.table.slice(start, stop - start)).record.protected


def decoded(rows: object, side: int) -> Block:
    reader = Reader.current
    return decode_block(reader.source, reader.listing.table, rows, side)  # type: ignore[arg-type]


def protected(index: int) -> int:
    return Reader.current.protect(index)


def protect(options: Protect) -> None:
    source = open_source(options.input)
    listing = source.list()
    side = natural_side(list(probe_shapes(source, listing.table)))
    config = noise_config({"max_rounds": options.rounds}, listing.class_names, len(listing), side)
    artifact = absolute(f"{options.output}/noise")
    cores = len(os.sched_getaffinity(0))
    pool = ProcessPoolExecutor(
        cores,
        multiprocessing.get_context("spawn"),
        initializer=Reader.start,
        initargs=(options.input, artifact, absolute(options.output)),
    )
    with pool:
        plan = block_plan(stratified_rows(listing.labels(), config.options["data_fraction"], config.seed), config.seed)
        blocks = list(pool.map(decoded, plan, [side] * len(plan)))
        compute = Compute.detect("cpu")
        windows = Windows(lambda: iter(blocks), config.options["batch_size"], compute)
        deltas = ReplicatedDeltas(len(listing.class_names), side, BUDGET)
        noise = new_method(config, compute).craft(windows, deltas)
        assert noise is not None
        noise.save(artifact)
        done = sum(pool.map(protected, range(len(plan_shards(listing.nbytes())))))
    print(f"{done:,} images protected")


def judge(options: Judge) -> None:
    opened = {role: open_source(getattr(options, role)) for role in ("clean", "protected", "test")}
    found = {role: source.list() for role, source in opened.items()}
    side = natural_side(list(probe_shapes(opened["clean"], found["clean"].table)))
    sets = {role: load_data_set(opened[role], found[role], side) for role in found}
    test = sets.pop("test")
    sets["control"] = random_control(sets["clean"], BUDGET)
    plan = TrainingPlan(options.victim, options.epochs, 0, 64, 0.05)
    for role, data in sets.items():
        result = run_victim(data, test, role, "none", plan, Compute.detect("cpu"))
        print(f"{role}: {100 * result['final_test_accuracy']:.1f} %")


if __name__ == "__main__":
    chosen = tyro.cli(Protect | Judge, description=__doc__)  # type: ignore[arg-type, call-overload]
    protect(chosen) if isinstance(chosen, Protect) else judge(chosen)
