"""Several workers as one: plain torch.distributed, and the identity where there is one process.

Global batches are split unevenly (each worker has the rows that reached it), so sums and counts travel, never means.
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
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def sum_over_workers(values: Tensor) -> Tensor:
    """The elementwise sum of every worker's ``values``, on each of them."""
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def own_part(rows: Tensor) -> Tensor:
    """Of a global batch's ``rows`` [N, ...], those of this worker: the workers' parts are all of them, each once."""
    return rows[rank() :: world_size()]


def gather_objects(value: Any) -> list[Any]:
    """Every worker's (small, picklable) ``value``, in rank order, on each of them."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def data_parallel(network: nn.Module, compute: Compute) -> nn.Module:
    """``network`` under DDP, with batch statistics of the *global* batch; ``network`` itself where there is one worker.

    The batch-norm layers are replaced in place, so that ``network`` and its DDP wrapper stay one set of weights.
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
            else:  # torch's SyncBatchNorm refuses CPU tensors
                child.__class__ = GlobalBatchNorm2d
        else:
            _synchronise_batch_norm(child, compute)


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over all workers' rows, on CPUs; a worker may hold any number of them, none included."""

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
        centred = features - mean.view(1, -1, 1, 1)  # a second sum: E[x^2] - E[x]^2 would lose small variances
        variance = torch.distributed.nn.functional.all_reduce(centred.square().sum((0, 2, 3))) / n
        if self.track_running_stats:
            with torch.no_grad():
                momentum = self.momentum if self.momentum is not None else 0.1
                self.running_mean.lerp_(mean, momentum)  # type: ignore[union-attr]
                self.running_var.lerp_(variance * (n / (n - 1)), momentum)  # type: ignore[union-attr]
                self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
