"""The table of class-wise deltas, in actors that all workers share: sharded by class, in versions."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import ray
import torch
from torch import Tensor

from ue_ray.distributed.cluster import on_workers
from ue_ray.learning.collectives import rank
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.class_deltas import file_name, mean_delta, read_classes
from ue_ray.noise.delta_file import DeltaRows, write_deltas
from ue_ray.storage.filesystem import join

Part = tuple[np.ndarray, np.ndarray, np.ndarray]  # classes' rows, sums of stepped deltas, numbers of samples


class DeltaShard:
    """The deltas of the classes of a range.

    Version n + 1 appears when each of ``workers`` has pushed its part of global batch n. A push is keyed by (version,
    rank): one that is repeated, or belongs to a version that is complete, changes nothing.
    """

    def __init__(self, classes: range, side: int, budget: Budget, workers: int) -> None:
        self.classes = classes
        self.budget = budget
        self.workers = workers
        self.deltas = torch.zeros(len(classes), 3, side, side)
        self.version = 0
        self.parts: dict[int, dict[int, Part]] = {}  # version -> worker -> part: a fast worker may be ahead
        self.changed = asyncio.Condition()

    async def pull(self, rows: np.ndarray, version: int) -> np.ndarray:
        async with self.changed:
            await self.changed.wait_for(lambda: self.version >= version)
            return self.deltas[rows].numpy()

    async def push(self, version: int, worker: int, rows: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> None:
        async with self.changed:
            if version < self.version:
                return
            self.parts.setdefault(version, {})[worker] = (rows, sums, counts)
            while len(self.parts.get(self.version, {})) == self.workers:
                self._reduce(self.parts.pop(self.version))
                self.version += 1
            self.changed.notify_all()

    async def save(self, uri: str, version: int) -> None:
        """Write this shard as it is at ``version``, which it must not leave meanwhile: worker 0 has yet to push."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.version >= version)
            write_deltas(uri, self.deltas)

    async def restore(self, files: list[str], version: int) -> None:
        """Take this shard's classes out of ``files``, written by any number of shards."""
        async with self.changed:
            read_classes(files, self.classes, self.deltas)
            self.version = version

    def _reduce(self, by_worker: dict[int, Part]) -> None:
        parts = [by_worker[worker] for worker in sorted(by_worker)]  # in rank order: the same bits in every run
        touched = np.unique(np.concatenate([rows for rows, _, _ in parts]))
        sums = torch.zeros(len(touched), *self.deltas.shape[1:])
        counts = torch.zeros(len(touched))
        for rows, part_sums, part_counts in parts:
            at = torch.from_numpy(np.searchsorted(touched, rows))
            sums.index_add_(0, at, torch.from_numpy(part_sums.copy()))
            counts.index_add_(0, at, torch.from_numpy(part_counts.copy()))
        self.deltas[touched] = mean_delta(self.budget, self.deltas[touched], sums, counts)


class SharedDeltas:
    """A worker's access to the actors (a ``ClassDeltas`` of ``ue_ray.noise``); class k is in shard k modulo n.

    For tables that are too large for each worker to hold (``ReplicatedDeltas``): the actors hold them once.
    """

    def __init__(self, actors: list[Any], num_classes: int, side: int) -> None:
        self.actors = actors
        self.num_classes = num_classes
        self.side = side
        self._pushed: list[ray.ObjectRef] = []

    @staticmethod
    def create(num_classes: int, side: int, budget: Budget, workers: int, shards: int) -> SharedDeltas:
        shards = min(shards, num_classes)
        classes = [range(first, num_classes, shards) for first in range(shards)]
        actors = [
            ray.remote(DeltaShard)
            .options(num_cpus=0, memory=4 * len(mine) * 3 * side**2, scheduling_strategy=place)
            .remote(mine, side, budget, workers)
            for mine, place in zip(classes, on_workers(shards), strict=True)
        ]
        return SharedDeltas(actors, num_classes, side)

    def pull(self, classes: Tensor, version: int) -> Tensor:
        return self._pull(classes.cpu(), version).to(classes.device)

    def _pull(self, classes: Tensor, version: int) -> Tensor:
        shard = classes % len(self.actors)
        members = [torch.nonzero(shard == number).flatten() for number in range(len(self.actors))]
        refs = [
            actor.pull.remote((classes[mine] // len(self.actors)).numpy(), version)
            for actor, mine in zip(self.actors, members, strict=True)
            if len(mine)
        ]
        if not refs:
            return torch.zeros(0, 3, self.side, self.side)
        parts = [torch.from_numpy(part.copy()) for part in ray.get(refs)]
        return torch.cat(parts)[torch.argsort(torch.cat(members))]

    def push(self, version: int, classes: Tensor, sums: Tensor, counts: Tensor) -> None:
        ray.get(self._pushed)  # the previous batch's: raises here what went wrong there
        classes, sums, counts = classes.cpu(), sums.cpu(), counts.cpu()
        shard = classes % len(self.actors)
        self._pushed = []
        for number, actor in enumerate(self.actors):  # each shard hears of each batch: it counts the workers
            mine = shard == number
            rows = (classes[mine] // len(self.actors)).numpy()
            self._pushed.append(actor.push.remote(version, rank(), rows, sums[mine].numpy(), counts[mine].numpy()))

    def table(self, version: int) -> DeltaRows:
        return _Table(self, version)

    def save(self, folder: str, version: int) -> list[str]:
        names = [file_name(number, len(self.actors)) for number in range(len(self.actors))]
        ray.get(
            [actor.save.remote(join(folder, name), version) for actor, name in zip(self.actors, names, strict=True)]
        )
        return names

    def restore(self, files: list[str], version: int) -> None:
        if rank() == 0:
            ray.get([actor.restore.remote(files, version) for actor in self.actors])


class _Table:
    """All deltas at one version, which stay where they are until they are asked for."""

    def __init__(self, deltas: SharedDeltas, version: int) -> None:
        self.deltas = deltas
        self.version = version
        self.shape = (deltas.num_classes, 3, deltas.side, deltas.side)

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self.deltas.pull(rows, self.version)
