"""The actors against the table in one process: same pushes, same deltas."""

from dataclasses import replace

import numpy as np
import pytest
import ray
import torch

from tests.device import COMPUTE
from tests.noise.test_contract import config_for
from ue_ray.distributed.crafting.craft import class_deltas
from ue_ray.distributed.crafting.delta_actors import SharedDeltas
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas
from ue_ray.noise.delta_file import whole

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

CLASSES, SIDE, BUDGET = 7, 4, Budget(8 / 255)


def contributions(versions, seed=0):
    """Per version: (classes, sums, counts), the sums near the budget's size."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(versions):
        classes = torch.randperm(CLASSES, generator=generator)[
            : int(torch.randint(0, CLASSES + 1, (), generator=generator))
        ]
        counts = torch.randint(1, 4, (len(classes),), generator=generator).float()
        sums = torch.randn(len(classes), 3, SIDE, SIDE, generator=generator) * 0.03 * counts.view(-1, 1, 1, 1)
        yield classes, sums, counts


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_one_worker_sees_what_a_local_table_holds(shards):
    local = ReplicatedDeltas(CLASSES, SIDE, BUDGET)
    shared = SharedDeltas.create(CLASSES, SIDE, BUDGET, workers=1, shards=shards)
    for version, (classes, sums, counts) in enumerate(contributions(6)):
        torch.testing.assert_close(shared.pull(classes, version), local.pull(classes, version), rtol=0, atol=1e-9)
        local.push(version, classes, sums, counts)
        shared.push(version, classes, sums, counts)
    torch.testing.assert_close(whole(shared.table(6)), whole(local.table(6)), rtol=0, atol=1e-9)
    assert whole(local.table(6)).abs().max() <= BUDGET.epsilon


def test_parts_of_two_workers_add_up_whatever_their_order_and_repetition():
    local = ReplicatedDeltas(CLASSES, SIDE, BUDGET)
    shared = SharedDeltas.create(CLASSES, SIDE, BUDGET, workers=2, shards=2)

    def push(version, worker, classes, sums, counts):
        for number, actor in enumerate(shared.actors):
            mine = classes % 2 == number
            actor.push.remote(version, worker, (classes[mine] // 2).numpy(), sums[mine].numpy(), counts[mine].numpy())

    pairs = list(zip(contributions(5, seed=1), contributions(5, seed=2), strict=True))
    for version, (first, _) in enumerate(pairs):
        push(version, 0, *first)  # worker 0 runs ahead of all: its parts wait
        push(version, 0, *first)  # and repeats itself, as a retried call does
    for version, (first, second) in enumerate(pairs):
        push(version, 1, *second)
        classes = torch.cat([first[0], second[0]]).unique()
        sums, counts = torch.zeros(CLASSES, 3, SIDE, SIDE), torch.zeros(CLASSES)
        for part in (first, second):
            sums.index_add_(0, part[0], part[1])
            counts.index_add_(0, part[0], part[2])
        local.push(version, classes, sums[classes], counts[classes])
    torch.testing.assert_close(whole(shared.table(5)), whole(local.table(5)), rtol=0, atol=1e-9)
    push(0, 1, torch.arange(CLASSES), torch.ones(CLASSES, 3, SIDE, SIDE), torch.ones(CLASSES))  # long past
    torch.testing.assert_close(whole(shared.table(5)), whole(local.table(5)), rtol=0, atol=1e-9)


def test_a_version_that_does_not_exist_yet_is_waited_for():
    shared = SharedDeltas.create(CLASSES, SIDE, BUDGET, workers=1, shards=1)
    early = shared.actors[0].pull.remote(np.array([0]), 1)
    assert ray.wait([early], timeout=0.2)[0] == []
    shared.push(0, torch.tensor([0]), torch.full((1, 3, SIDE, SIDE), 0.01), torch.ones(1))
    np.testing.assert_allclose(ray.get(early), 0.01)


@pytest.mark.parametrize(
    ("classes", "canvas", "where", "expected"),
    [
        (10, 32, "auto", ReplicatedDeltas),
        (3_000, 112, "auto", SharedDeltas),
        (10, 32, "actors", SharedDeltas),
        (10_575, 2, "replicated", ReplicatedDeltas),
    ],
)
def test_a_small_table_is_replicated_and_a_large_one_lives_in_actors(classes, canvas, where, expected):
    names = tuple(map(str, range(classes)))
    config = replace(config_for("error-minimizing", "class-wise", "online", BUDGET, canvas=canvas), class_names=names)
    assert type(class_deltas(config, COMPUTE, where)) is expected


def test_sample_wise_noise_starts_no_actors():
    config = config_for("error-minimizing", "sample-wise", "online", BUDGET)
    assert isinstance(class_deltas(config, COMPUTE, "actors"), ReplicatedDeltas)
