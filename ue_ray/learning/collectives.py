"""Several workers train as one, by plain torch.distributed. With one process, nothing is exchanged.

Workers have different numbers of rows of a global batch, so they exchange sums and counts, never means.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from math import prod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

PART_BYTES = 64 << 20  # of rows that are sent at a time


def world_size() -> int:
    """Returns the number of workers."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this worker, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def sum_over_workers(values: Tensor) -> Tensor:
    """Returns the elementwise sum of the ``values`` of all workers, on each of them; ``values`` is changed to it."""
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def own_part(rows: Tensor) -> Tensor:
    """Returns this worker's part of the ``rows`` [N, ...] of a global batch; each row is in one worker's part."""
    return rows[rank() :: world_size()]


def gather_objects(value: Any) -> list[Any]:
    """Returns the values of all workers, in the order of their ranks, on each of them. For small, picklable values."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def sent_to_first(rows: Tensor, device: torch.device) -> Iterator[Tensor]:
    """Yields the ``rows`` [n, ...] of all workers, in the order of their ranks, on worker 0; nothing on the others.

    A part crosses at a time, over ``device``. Every worker reads it to its end; they differ in n alone.
    """
    counts = gather_objects(len(rows))
    most = max(1, PART_BYTES // max(1, prod(rows.shape[1:]) * rows.element_size()))
    if rank() == 0:
        yield rows
    for sender in range(1, world_size()):
        for start in range(0, counts[sender], most):
            count = min(most, counts[sender] - start)
            if rank() == sender:
                dist.send(rows[start : start + count].to(device).contiguous(), 0)
            elif rank() == 0:
                part = torch.empty(count, *rows.shape[1:], dtype=rows.dtype, device=device)
                dist.recv(part, sender)
                yield part.to(rows.device)


def data_parallel(network: nn.Module) -> nn.Module:
    """Returns ``network`` under DistributedDataParallel; with one worker, ``network`` itself.

    Batch normalisation is then over the global batch. Its layers are changed in place, so that ``network`` and what is
    returned share all weights.
    """
    if world_size() == 1:
        return network
    from ue_ray.learning.global_batch_norm import GlobalBatchNorm2d  # brings torch's compiler, a second of every start

    for layer in network.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = GlobalBatchNorm2d
    return DistributedDataParallel(network, **{_SYNC_BUFFERS: False})  # type: ignore[arg-type]


# All buffers are statistics of the global batch, the same on all workers. torch has given the option a new name.
_SYNC_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)
