"""Batch normalisation over the rows of all workers, on every device.

torch's own (``SyncBatchNorm``) does not work on CPUs. On GPUs, under autocast, it exchanges bfloat16 where a worker has
no row and float32 where it has some: the workers then wait for each other for ever.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

AXES = (0, 2, 3)


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Normalises by the mean and the variance of a global batch, in float32. A worker may have any number of rows, or
    none; all workers call it together. In evaluation it is ``BatchNorm2d``."""

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return super().forward(features)
        with torch.autocast(features.device.type, enabled=False):
            normalised, mean, variance, count = _normalised(features, self.weight, self.bias, self.eps)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                momentum = self.momentum if self.momentum is not None else 0.1
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * (count / (count - 1).clamp_min(1)), momentum)
                self.num_batches_tracked.add_(1)
        return normalised


@torch.compiler.disable  # exchanges between workers stay out of compiled code
def _normalised(features: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the normalised features, and the mean [C], the variance [C] and the number [] of what was averaged."""
    results: tuple[Tensor, Tensor, Tensor, Tensor] = _Normalise.apply(features, weight, bias, eps)
    return results


class _Normalise(torch.autograd.Function):
    """One exchange forwards and one backwards (Ioffe and Szegedy, 2015, Section 3, over all workers)."""

    @staticmethod
    def forward(
        context: Any, features: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values = features.float()
        mean, variance, count = _global_moments(values)
        rate = torch.rsqrt(variance + eps)
        context.save_for_backward(features, weight, mean, rate, count)
        context.mark_non_differentiable(mean, variance, count)
        normalised = (values - _wide(mean)) * _wide(rate * weight) + _wide(bias)
        return normalised.to(features.dtype), mean, variance, count

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        features, weight, mean, rate, count = context.saved_tensors
        gradient = gradients[0].float()
        standard = (features.float() - _wide(mean)) * _wide(rate)
        own = torch.stack([gradient.sum(AXES), (gradient * standard).sum(AXES)])
        both = own.clone()
        dist.all_reduce(both)
        both /= count
        moved = (gradient - _wide(both[0]) - standard * _wide(both[1])) * _wide(rate * weight)
        return moved.to(features.dtype), own[1], own[0], None  # the weights' own: they are averaged with all others


def _global_moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns mean, variance and number over all workers, of float32 [N,C,H,W] on each: the same bits on all.

    Each exchanges its mean and squared distances from it: of mean squares, small variances would be lost.
    """
    own_count = values.new_full((1,), values.numel() / values.shape[1])
    own_mean = values.sum(AXES) / own_count.clamp_min(1)
    own = torch.cat([own_mean, (values - _wide(own_mean)).square().sum(AXES), own_count])
    gathered = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, own)
    table = torch.stack(gathered)
    channels = values.shape[1]
    means, squares, counts = table[:, :channels], table[:, channels:-1], table[:, -1:]
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    return mean, (squares + counts * (means - mean).square()).sum(0) / count, count


def _wide(channels: Tensor) -> Tensor:
    return channels.view(1, -1, 1, 1)
