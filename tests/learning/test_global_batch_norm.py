"""Two gloo processes that hold parts of a batch, against torch's own layer on the whole batch."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from tests.pair import in_two
from ue_ray.learning.global_batch_norm import GlobalBatchNorm2d

PARTS = {"equal": (0, 4, 8), "unequal": (0, 1, 8), "empty": (0, 8, 8)}  # where each worker's rows begin and end
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def batch():
    generator = torch.Generator().manual_seed(3)
    images = 5 + 0.01 * torch.randn(8, 3, 5, 5, generator=generator)  # a mean far above the spread
    return images, torch.randn(8, 4, 5, 5, generator=generator)


def passed(kind, rows, bf16):
    """Forwards and backwards through a convolution and a normalisation: the outputs, gradients and statistics."""
    torch.manual_seed(0)
    convolution, layer = nn.Conv2d(3, 4, 3, padding=1), kind(4)
    nn.init.normal_(layer.weight)
    images, weights = (tensor[rows] for tensor in batch())
    images.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        features = layer(convolution(images))
    (features.float() * weights).square().sum().backward()
    assert features.dtype == (torch.bfloat16 if bf16 else torch.float32)
    return {
        "features": features.detach().float(),
        "images": images.grad,
        "weight": layer.weight.grad,
        "bias": layer.bias.grad,
        **{name: getattr(layer, name) for name in STATISTICS},
    }


def worker(rank):
    exchanged = []
    for name in ("all_gather", "all_reduce"):
        send = getattr(dist, name)

        def spied(*tensors, send=send):
            exchanged.append((tensors[-1].dtype, tuple(tensors[-1].shape)))
            return send(*tensors)

        setattr(dist, name, spied)
    found = {}
    for name, ends in PARTS.items():
        for bf16 in (False, True):
            exchanged.clear()
            result = passed(GlobalBatchNorm2d, slice(ends[rank], ends[rank + 1]), bf16)
            found[name, bf16] = result, list(exchanged)
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return in_two(worker, tmp_path_factory.mktemp("gloo"))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("parts", PARTS)
def test_parts_are_normalised_as_the_whole_batch_is(pair, parts, bf16):
    whole = passed(nn.BatchNorm2d, slice(None), bf16)
    (first, _), (second, _) = (one[parts, bf16] for one in pair)
    near = {"rtol": 0.02, "atol": 0.1} if bf16 else {"rtol": 1e-3, "atol": 1e-3}
    for name in ("features", "images"):
        expected = whole[name]
        scale = expected.abs().max()
        torch.testing.assert_close(torch.cat([first[name], second[name]]) / scale, expected / scale, **near)
    for name in ("weight", "bias"):
        scale = whole[name].abs().max()
        torch.testing.assert_close((first[name] + second[name]) / scale, whole[name] / scale, **near)
    for name in STATISTICS:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], whole[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("parts", PARTS)
def test_workers_exchange_the_same_whatever_they_hold(pair, parts, bf16):
    """Tensors of another kind or size on one worker: NCCL waits for ever."""
    first, second = (one[parts, bf16][1] for one in pair)
    assert first == second == [(torch.float32, (9,)), (torch.float32, (2, 4))]


def test_in_evaluation_nothing_is_exchanged():
    layer = GlobalBatchNorm2d(3).eval()
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(layer(images), nn.BatchNorm2d(3).eval()(images))
