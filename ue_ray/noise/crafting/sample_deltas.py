"""Where a sample-wise delta is looked up, by sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ue_ray.errors import UserError
from ue_ray.learning.collectives import rank, sent_to_first, world_size
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.table_file import saved_deltas
from ue_ray.storage.inputs.listing import key_hash


class SampleTable:
    """One delta a sample, by sample_id, for data that fits in memory; int8, in steps of epsilon / 127.

    A worker's table holds the samples of that worker only.
    """

    def __init__(self, budget: Budget, side: int) -> None:
        self.budget = budget
        self.step = budget.epsilon / 127
        self.deltas = torch.zeros(0, 3, side, side, dtype=torch.int8)
        self.rows: dict[bytes, int] = {}
        self.saved: list[str] = []  # files with deltas that were not asked for yet

    def hold(self, sample_ids: Sequence[str]) -> None:
        """Makes room for the samples that have none, in this order. Each starts from its saved delta, or from zero."""
        self._make_room([key_hash(sample_id) for sample_id in sample_ids])
        for uri in self.saved:
            for keys, deltas in saved_deltas(uri, self.rows.keys()):
                self.deltas[[self.rows[key] for key in keys]] = deltas
        self.saved = []

    def get(self, sample_ids: Sequence[str], device: torch.device | str = "cpu") -> Tensor:
        """Returns float32 [N,3,s,s]. Raises UserError for a sample that has no delta."""
        keys = [key_hash(sample_id) for sample_id in sample_ids]
        for sample_id, key in zip(sample_ids, keys, strict=True):
            if key not in self.rows:
                raise UserError(
                    f"the artifact has no delta for sample {sample_id}: an alternating sample-wise artifact fits "
                    "only the images it was crafted on (schedule online perturbs any image)"
                )
        levels = self.deltas[[self.rows[key] for key in keys]].to(device, non_blocking=True)  # bytes travel, not floats
        return levels.to(torch.float32) * self.step

    def put(self, sample_ids: Sequence[str], delta: Tensor) -> None:
        """Takes the samples' new deltas, float32 [N,3,s,s] on any device."""
        rows = torch.tensor([self.rows[key_hash(sample_id)] for sample_id in sample_ids], dtype=torch.int64)
        self.deltas[rows] = (delta / self.step).round().clamp(-127, 127).to(torch.int8).cpu()

    def tensors(self) -> dict[str, Tensor]:
        keys = torch.tensor([list(key) for key in self.rows], dtype=torch.uint8).view(-1, 16)
        return {"sample_keys": keys, "sample_deltas": self.deltas}

    def resume(self, files: list[str]) -> None:
        """From now on, a sample starts from its delta in ``files`` (URIs): what ``tensors`` gave, of all workers."""
        self.saved = files

    def gathered(self, device: torch.device) -> dict[str, Tensor]:
        """Returns the tables of all workers as one, in the order of their keys, on worker 0, and on the others an empty
        one. ``device``: where workers exchange tensors. Every worker calls it.
        """
        for uri in self.saved[rank() :: world_size()]:  # all rounds were done before: no worker has asked for its own
            for names, part in saved_deltas(uri):
                first = len(self.rows)
                self._make_room(names)
                self.deltas[first:] = part
        own = self.tensors()
        keys = torch.cat([own["sample_keys"][:0], *sent_to_first(own["sample_keys"], device)])
        high, low = keys.numpy().view(">u8").T
        order = torch.from_numpy(np.lexsort((low, high)))
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        deltas = torch.empty(len(keys), *self.deltas.shape[1:], dtype=torch.int8)
        done = 0
        for part in sent_to_first(own["sample_deltas"], device):
            deltas[place[done : done + len(part)]] = part
            done += len(part)
        return {"sample_keys": keys[order], "sample_deltas": deltas}

    def _make_room(self, keys: Sequence[bytes]) -> None:
        first = len(self.rows)
        for key in keys:
            self.rows.setdefault(key, len(self.rows))
        if len(self.rows) > first:
            new = torch.zeros(len(self.rows) - first, *self.deltas.shape[1:], dtype=torch.int8)
            self.deltas = torch.cat([self.deltas, new]) if first else new

    @staticmethod
    def restore(budget: Budget, tensors: dict[str, Tensor]) -> SampleTable:
        table = SampleTable(budget, tensors["sample_deltas"].shape[-1])
        table.deltas = tensors["sample_deltas"]
        table.rows = {bytes(key): row for row, key in enumerate(tensors["sample_keys"].numpy())}
        return table
