"""A victim trained by two gloo processes against one process: the same batches, the same network."""

from dataclasses import replace

import pytest
import torch

from tests.device import COMPUTE
from tests.evaluation.test_training import pair_of_digits
from tests.pair import in_two
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.training import AUGMENTATIONS, TrainingPlan, train_classifier
from ue_ray.learning.collectives import own_part
from ue_ray.learning.compute import Compute

FLOAT32 = Compute(torch.device("cpu"))
PLAIN = TrainingPlan("resnet9", 2, seed=3, batch_size=15, augmentation="none")  # 15: the parts are not equal
CROPPED = replace(PLAIN, augmentation="crop", epochs=1)
COUNTERMEASURES = ("none", "mixup", "adversarial-training-8", "early-stopping")


def trained(plan, countermeasure="none", compute=FLOAT32):
    train, test = pair_of_digits()
    training = train_classifier(train, test, 2, plan, compute, parse(countermeasure))
    curve = [(e.train_loss, e.train_accuracy, e.test_accuracy, e.held_out_accuracy) for e in training.curve]
    return curve, training.confusion, dict(training.network.state_dict())


def spied():
    """Of each batch, how many rows reached the augmentation and what chance it had."""
    seen = []
    AUGMENTATIONS["spied"] = lambda images, chance: (
        seen.append((len(images), float(torch.rand((), generator=chance)))) or images
    )
    trained(replace(PLAIN, augmentation="spied", epochs=1))
    return seen


def worker(rank):
    found = {"parts": [own_part(torch.arange(count)).tolist() for count in (15, 2, 1)], "plain": trained(PLAIN)}
    found |= {name: trained(CROPPED, name, COMPUTE) for name in COUNTERMEASURES}
    found["spied"] = spied()
    found["again"] = trained(CROPPED, "mixup", COMPUTE)
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return in_two(worker, tmp_path_factory.mktemp("gloo"))


def same(left, right, **tolerance):
    torch.testing.assert_close(left, right, **(tolerance or {"rtol": 0, "atol": 0}))


def test_the_parts_are_the_batch(pair):
    for left, right, count in zip(pair[0]["parts"], pair[1]["parts"], (15, 2, 1), strict=True):
        assert sorted(left + right) == list(range(count))
        assert len(left) - len(right) in (0, 1)


def test_each_worker_draws_its_own_chance_for_its_part(pair):
    left, right = pair[0]["spied"], pair[1]["spied"]
    assert [mine[0] + other[0] for mine, other in zip(left, right, strict=True)] == [15] * 5
    assert not {draw for _, draw in left} & {draw for _, draw in right}


def test_without_chance_two_workers_train_the_network_of_one(pair):
    curve, _, weights = trained(PLAIN)
    found, confusion, shared = pair[0]["plain"]
    assert [epoch[0] for epoch in found] == pytest.approx([epoch[0] for epoch in curve], rel=1e-3)
    assert int(confusion.sum()) == 40  # each test image is counted by one of them
    for name, value in weights.items():
        same(shared[name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["plain", *COUNTERMEASURES])
def test_both_have_the_same_to_the_bit(pair, name):
    (curve, confusion, weights), (other_curve, other_confusion, other_weights) = (one[name] for one in pair)
    assert curve == other_curve
    same(confusion, other_confusion)
    same(weights, other_weights)
    assert (curve[0][3] is not None) == (name == "early-stopping")


def test_the_seed_decides(pair):
    (curve, _, weights), (again, _, same_weights) = pair[0]["mixup"], pair[0]["again"]
    assert curve == again
    same(weights, same_weights)
