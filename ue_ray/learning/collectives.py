"""Several workers train as one, by plain torch.distributed. With one process, nothing is exchanged.

Workers have different numbers of rows of a global batch, so they exchange sums and counts, never means.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ue_ray.learning.compute import Compute


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


def data_parallel(network: nn.Module, compute: Compute) -> nn.Module:
    """Returns ``network`` under DistributedDataParallel; with one worker, ``network`` itself.

    Batch normalisation is then over the global batch. Its layers are replaced in place, so that ``network`` and what is
    returned share all weights.
    """
    if world_size() == 1:
        return network
    _synchronise_batch_norm(network, compute)
    return DistributedDataParallel(network, broadcast_buffers=False)


def _synchronise_batch_norm(network: nn.Module, compute: Compute) -> None:
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            if compute.device.type == "cuda":
                setattr(network, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
            else:  # torch's SyncBatchNorm does not work on CPUs
                child.__class__ = GlobalBatchNorm2d
        else:
            _synchronise_batch_norm(child, compute)


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the rows of all workers, on CPUs. A worker may have any number of rows, or none."""

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return super().forward(features)
        with torch.autocast("cpu", enabled=False):  # bfloat16 would round the counts
            return self._normalised(features.float()).to(features.dtype)

    def _normalised(self, features: Tensor) -> Tensor:
        count = features.new_tensor([features.numel() / features.shape[1]])
        total = torch.distributed.nn.functional.all_reduce(torch.cat([features.sum((0, 2, 3)), count]))
        n = total[-1].detach()
        mean = total[:-1] / n
        centred = features - mean.view(1, -1, 1, 1)  # in two passes: E[x^2] - E[x]^2 would lose small variances
        variance = torch.distributed.nn.functional.all_reduce(centred.square().sum((0, 2, 3))) / n
        if self.track_running_stats:
            with torch.no_grad():
                momentum = self.momentum if self.momentum is not None else 0.1
                self.running_mean.lerp_(mean, momentum)  # type: ignore[union-attr]
                self.running_var.lerp_(variance * (n / (n - 1)), momentum)  # type: ignore[union-attr]
                self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
