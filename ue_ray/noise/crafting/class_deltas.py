"""One delta a class, shared by all workers."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ue_ray.learning.collectives import sum_over_workers, world_size
from ue_ray.noise.budget import Budget
from ue_ray.noise.delta_file import DeltaFile, DeltaRows, in_chunks, write_deltas
from ue_ray.storage.filesystem import join


class ClassDeltas(Protocol):
    """The table of class-wise deltas, float32 [K,3,s,s], in versions: version n is what global batch n starts from.

    All tensors that come and go are on the worker's device.

    Every worker pushes its contribution to every global batch (an empty one if it has no row of it). When all have, the
    new delta of each class that was touched is the projected mean over all workers' rows, and version n + 1 exists.
    """

    def pull(self, classes: Tensor, version: int) -> Tensor:
        """The deltas of ``classes`` (int64 [k]), float32 [k,3,s,s]; waits until ``version`` exists."""

    def push(self, version: int, classes: Tensor, sums: Tensor, counts: Tensor) -> None:
        """This worker's rows of the global batch that started from ``version``: per class, the sum of the stepped
        deltas [k,3,s,s] and the number of rows [k]."""

    def table(self, version: int) -> DeltaRows:
        """All deltas, as they are at ``version``, fetched where they are asked for."""

    def save(self, folder: str, version: int) -> list[str]:
        """On worker 0: write the table, as it is at ``version``, to files in ``folder`` (a URI); their names."""

    def restore(self, files: list[str], version: int) -> None:
        """On every worker: take up what ``save`` wrote to ``files`` (URIs); from now on it is at ``version``."""


def mean_delta(budget: Budget, current: Tensor, sums: Tensor, counts: Tensor) -> Tensor:
    """The projected mean of the stepped deltas; classes without a row (count 0) keep their ``current`` delta."""
    counts = counts.view(-1, 1, 1, 1)
    return torch.where(counts > 0, budget.project(sums / counts.clamp_min(1)), current)


class ReplicatedDeltas:
    """The table in every worker, on its device; in the only one, where there is one.

    A push sums over all workers the classes that the global batch touched, and nothing else: two collectives, whose
    rounding is the same on all, so the replicas stay equal to the bit.
    """

    def __init__(self, num_classes: int, side: int, budget: Budget, device: torch.device | str = "cpu") -> None:
        self.budget = budget
        self.deltas = torch.zeros(num_classes, 3, side, side, device=device)

    def pull(self, classes: Tensor, version: int) -> Tensor:
        return self.deltas[classes]

    def push(self, version: int, classes: Tensor, sums: Tensor, counts: Tensor) -> None:
        if world_size() == 1:
            self._step(classes, sums, counts)
            return
        everyone = torch.zeros(len(self.deltas), device=self.deltas.device)
        everyone[classes] = counts
        touched = torch.nonzero(sum_over_workers(everyone)).flatten()
        total = torch.zeros(len(touched), *self.deltas.shape[1:], device=self.deltas.device)
        total[torch.searchsorted(touched, classes)] = sums
        self._step(touched, sum_over_workers(total), everyone[touched])

    def _step(self, touched: Tensor, sums: Tensor, counts: Tensor) -> None:
        self.deltas[touched] = mean_delta(self.budget, self.deltas[touched], sums, counts)

    def table(self, version: int) -> DeltaRows:
        return self.deltas.cpu()

    def save(self, folder: str, version: int) -> list[str]:
        write_deltas(join(folder, file_name(0, 1)), self.deltas)
        return [file_name(0, 1)]

    def restore(self, files: list[str], version: int) -> None:
        read_classes(files, range(len(self.deltas)), self.deltas)


def file_name(shard: int, shards: int) -> str:
    """Of the file that holds classes ``shard``, ``shard + shards``, ..."""
    return f"deltas-{shard}-of-{shards}.safetensors"


def read_classes(files: list[str], classes: range, into: Tensor) -> None:
    """Take ``classes`` out of ``files`` (URIs, in the shards' order), written by any number of shards, ``into`` a
    table of them."""
    for shard, uri in enumerate(files):
        deltas = DeltaFile(uri)
        for rows in in_chunks(deltas.shape):
            held = rows * len(files) + shard
            mine = torch.isin(held, torch.tensor(classes))
            if mine.any():
                into[(held[mine] - classes.start) // classes.step] = deltas[rows[mine]].to(into.device)
