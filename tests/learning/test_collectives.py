"""Two gloo processes against one: the same global batch gives the same statistics, gradients and batches."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.noise.crafting.test_batches import block
from tests.pair import in_two
from ue_ray.learning.collectives import data_parallel
from ue_ray.learning.compute import Compute
from ue_ray.learning.steps import WeightSteps
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas

CPU = Compute(torch.device("cpu"))  # float32, whatever this machine has: compared to the last bits


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


def data():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(12, 3, 6, 6, generator=generator), torch.randint(0, 3, (12,), generator=generator)


def train(parts, compute=CPU):
    steps = WeightSteps(network(), compute, learning_rate=0.1)
    images, labels = data()
    for rows, count in parts:
        steps.step(images[rows], labels[rows], count)
    return {name: value.clone() for name, value in steps.network.state_dict().items()}


# Of each of two workers, for three global batches: the classes of its rows, and how many rows each has.
PUSHES = [([0, 3], [1, 2], [3, 4], [2, 1]), ([], [], [1], [1]), ([4, 0], [1, 1], [], [])]


def pushed(parts):
    """A table of five classes after pushes of (classes, rows of each) to version after version."""
    table = ReplicatedDeltas(5, 2, Budget(8 / 255))
    for version, (classes, counts) in enumerate(parts):
        rows = torch.tensor(classes, dtype=torch.int64)
        number = torch.tensor(counts, dtype=torch.float32)
        sums = number.view(-1, 1, 1, 1) * (1 + rows.view(-1, 1, 1, 1)) * torch.linspace(-0.01, 0.01, 12).view(3, 2, 2)
        table.push(version, rows, sums, number)
    return table.deltas


def worker(rank):
    parts = [(slice(0, 4), 6), (slice(6, 12), 6)] if rank == 0 else [(slice(4, 6), 6), (slice(0, 0), 6)]
    state = train(parts)
    held = [[0, 1, 2, 3, 4], [10]] if rank == 0 else [[5, 6, 7]]
    windows = iter(Windows(lambda: iter([block(rows) for rows in held]), 4, CPU))
    batches = [(batch.sample_ids, batch.global_count) for batch in next(windows).batches(0)]
    small = iter(Windows(lambda: iter([block(rows) for rows in held]), 4, CPU, window_bytes=1))
    sizes = [len(next(small)) for _ in range(4)]
    rounded = train(parts, Compute(torch.device("cpu"), bf16=True))
    deltas = pushed([push[2 * rank : 2 * rank + 2] for push in PUSHES])
    return state, batches, sizes, rounded, deltas


def test_two_workers_do_what_one_does(tmp_path):
    (first, first_batches, sizes, rounded, deltas), (second, second_batches, other_sizes, _, other_deltas) = in_two(
        worker, tmp_path
    )
    alone = train([(slice(0, 6), 6), (slice(6, 12), 6)])
    for name, value in alone.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)  # workers agree to the bit
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-6)
    alone_rounded = train([(slice(0, 6), 6), (slice(6, 12), 6)], Compute(torch.device("cpu"), bf16=True))
    for name, value in alone_rounded.items():  # under bfloat16 autocast: statistics still in float32
        torch.testing.assert_close(rounded[name], value, rtol=0.05, atol=0.02)
    torch.testing.assert_close(deltas, other_deltas, rtol=0, atol=0)
    torch.testing.assert_close(deltas, pushed([([0, 3, 4], [1, 4, 1]), ([1], [1]), ([0, 4], [1, 1])]))
    assert deltas.abs().amax((1, 2, 3)).tolist() == pytest.approx([0.01, 0.02, 0, 8 / 255, 8 / 255])
    whole = next(iter(Windows(lambda: iter([block([*range(8), 10])]), 4, CPU)))
    for one, left, right in zip(whole.batches(0), first_batches, second_batches, strict=True):
        assert sorted(left[0] + right[0]) == sorted(one.sample_ids)
        assert left[1] == right[1] == one.global_count
    assert sizes == other_sizes == [8, 1, 8, 1]  # a worker whose stream has ended takes part with an empty window


def test_one_worker_needs_no_wrapping():
    model = network()
    assert data_parallel(model) is model
    assert np.isfinite(train([(slice(0, 12), 12)])["1.running_var"].numpy()).all()
