"""Where a sample-wise delta is looked up, by sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ue_ray.errors import UserError
from ue_ray.noise.budget import Budget
from ue_ray.storage.inputs.listing import key_hash


class SampleTable:
    """One delta a sample, by sample_id, for data that fits in memory; int8, in steps of epsilon / 127.

    A sample that is not in the table starts from zero.
    """

    def __init__(self, budget: Budget, side: int) -> None:
        self.budget = budget
        self.step = budget.epsilon / 127
        self.earlier: SampleTable | None = None
        self.deltas = torch.zeros(0, 3, side, side, dtype=torch.int8)
        self.rows: dict[bytes, int] = {}

    def get(self, sample_ids: Sequence[str], known: bool = False) -> Tensor:
        """float32 [N,3,s,s]; with ``known``, raises UserError for a sample that has no delta."""
        keys = [key_hash(sample_id) for sample_id in sample_ids]
        if known:
            for sample_id, key in zip(sample_ids, keys, strict=True):
                if key not in self.rows:
                    raise UserError(
                        f"the artifact has no delta for sample {sample_id}: an alternating sample-wise artifact fits "
                        "only the images it was crafted on (schedule online perturbs any image)"
                    )
        self._make_room(keys)
        return self.deltas[[self.rows[key] for key in keys]].to(torch.float32) * self.step

    def put(self, sample_ids: Sequence[str], delta: Tensor) -> None:
        keys = [key_hash(sample_id) for sample_id in sample_ids]
        self._make_room(keys)
        rows = torch.tensor([self.rows[key] for key in keys], dtype=torch.int64)
        self.deltas[rows] = (delta.cpu() / self.step).round().clamp(-127, 127).to(torch.int8)

    def _make_room(self, keys: Sequence[bytes]) -> None:
        new = [key for key in dict.fromkeys(keys) if key not in self.rows]
        for key in new:
            self.rows[key] = len(self.rows)
        if len(self.rows) > len(self.deltas):
            grown = torch.zeros(max(1024, 2 * len(self.rows)), *self.deltas.shape[1:], dtype=torch.int8)
            grown[: len(self.deltas)] = self.deltas
            self.deltas = grown
        known = [key for key in new if self.earlier is not None and key in self.earlier.rows]
        if self.earlier is not None and known:
            before = self.earlier.deltas[[self.earlier.rows[key] for key in known]]
            self.deltas[[self.rows[key] for key in known]] = before

    def tensors(self) -> dict[str, Tensor]:
        keys = torch.tensor([list(key) for key in self.rows], dtype=torch.uint8).view(-1, 16)
        return {"sample_keys": keys, "sample_deltas": self.deltas[: len(self.rows)]}

    def start_from(self, parts: list[dict[str, Tensor]]) -> None:
        """Let a sample that is not in the table start from its delta in ``parts``, the tensors of other tables.

        It does not come in before it is asked for: a worker's table holds the samples of that worker only.
        """
        self.earlier = SampleTable.restore(self.budget, SampleTable.join(parts))

    @staticmethod
    def join(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tables of all workers (each holds its own samples) as one, in the order of their keys."""
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        high, low = joined["sample_keys"].numpy().view(">u8").T
        order = torch.from_numpy(np.lexsort((low, high)))
        return {name: tensor[order] for name, tensor in joined.items()}

    @staticmethod
    def restore(budget: Budget, tensors: dict[str, Tensor]) -> SampleTable:
        table = SampleTable(budget, tensors["sample_deltas"].shape[-1])
        table.deltas = tensors["sample_deltas"]
        table.rows = {bytes(key): row for row, key in enumerate(tensors["sample_keys"].numpy())}
        return table
