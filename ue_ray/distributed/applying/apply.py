"""Applying on Ray: shards stream through actors that hold the artifact; only their records come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray
import torch

from ue_ray.distributed.applying.delta_server import ServedNoise, start_servers
from ue_ray.distributed.boards import Tries
from ue_ray.distributed.cluster import beside_the_driver, cpus, gpus, joined, wait_for_room
from ue_ray.distributed.console import Progress
from ue_ray.distributed.gpus import wait_for_gpus
from ue_ray.distributed.metrics import Metrics
from ue_ray.distributed.stream import numbered
from ue_ray.distributed.survey import Survey
from ue_ray.errors import RunError
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.methods import METHODS, open_noise
from ue_ray.protection.class_map import ClassMap
from ue_ray.protection.partial import Partial
from ue_ray.protection.shard import ShardProtector, ShardResult

MAX_TRIES = 5  # of a shard: machines come and go, but one that always takes its actor with it must end the run


def apply(
    survey: Survey,
    artifact_uri: str,
    output: str,
    use_gpu: bool = False,
    class_map: ClassMap | None = None,
    partial: Partial | None = None,
) -> Iterator[ShardResult]:
    """Protect a surveyed input, all of it or its classes of ``partial``, shard by shard, in no particular order.

    Shard names depend on the listing alone, so a shard that is done twice is the same file; one that an earlier run
    of the same work has finished is kept. The driver sees records only: no image ever reaches it. ``use_gpu``: deltas
    that a network computes come from GPUs, one actor each; all else, and all other deltas, are work for CPUs.
    """
    count = survey.summary.count
    config = NoiseArtifact.load_card(artifact_uri).config
    served = use_gpu and METHODS[config.method].computes_deltas(config)
    wait_for_room(1, {"CPU": 1}, "a CPU")
    if served:
        wait_for_gpus(1)
    servers = start_servers(artifact_uri, max(1, int(gpus()))) if served else []
    tries = beside_the_driver(Tries)
    records = numbered(survey.summary.shards).map_batches(
        _Protector,
        fn_constructor_args=(survey, artifact_uri, output, METHODS[config.method], tries, servers, class_map, partial),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=1,
        compute=_pool(survey.summary.shards),
    )
    records.set_name("protect-apply")
    progress, metrics, ends = Progress("apply"), Metrics(output), ""
    done = passed = rejected = left_out = kept = 0
    for row in records.iter_rows():
        result = ShardResult.from_json(row["result"])
        record = result.record
        kept += row["kept"] * record.samples
        done += record.protected
        passed += record.passed
        rejected += record.rejected
        left_out += record.left_out
        metrics.shard(record)
        ends = f", {passed:,} passed through" * bool(passed) + f", {rejected:,} rejected"
        ends += f", {left_out:,} left out" * bool(left_out)
        progress.show(f"{done:,} of {count:,} images{ends}", (done + passed + rejected + left_out) / count)
        yield result
    progress.done(f"{done:,} images protected{ends}" + (f" ({kept:,} kept)" if kept else ""))


def _pool(shards: int) -> ray.data.ActorPoolStrategy:
    """An actor a CPU; on a cluster, more as nodes come, up to one a shard."""
    now = int(max(1, min(shards, cpus())))
    if not joined():
        return ray.data.ActorPoolStrategy(size=now)
    return ray.data.ActorPoolStrategy(min_size=1, initial_size=now, max_size=shards)


class _Protector:
    """An actor: opens the artifact once, then protects shard after shard."""

    def __init__(
        self,
        survey: Survey,
        artifact_uri: str,
        output: str,
        method: type[NoiseMethod],
        tries: Any,
        servers: list[Any],
        class_map: ClassMap | None,
        partial: Partial | None,
    ) -> None:
        torch.set_num_threads(1)
        self.tries = tries
        self.table, self.plan = survey.rows(), ray.get(survey.plan)
        names = survey.summary.class_names
        artifact = NoiseArtifact.load_card(artifact_uri) if servers else NoiseArtifact.load(artifact_uri)
        METHODS[artifact.config.method] = method  # one of the driver's own is not in this process's dict
        cpu = Compute.detect("cpu")
        noise = ServedNoise(artifact.config, servers) if servers else open_noise(artifact, cpu)
        shared = ray.get(survey.shared)
        self.shards = ShardProtector(
            survey.source, names, artifact, noise, output, survey.handling, class_map, shared, partial
        )

    def __call__(self, batch: pa.Table) -> pa.Table:
        results: dict[str, list[Any]] = {"result": [], "kept": []}
        for index in batch["id"].to_pylist():
            result = self.shards.finished(index)  # before the tries: Ray Data does all shards of a lost block again
            results["kept"].append(result is not None)
            if result is None:
                if ray.get(self.tries.add.remote(index)) > MAX_TRIES:  # Ray Data itself would try for ever
                    raise RunError(f"shard {index} took its worker with it {MAX_TRIES} times (out of memory?)")
                start, stop = self.plan[index].tolist()
                result = self.shards.protect(index, self.table.slice(start, stop - start))
            results["result"].append(result.to_json())
        return pa.table(results)
