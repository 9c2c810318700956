from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from tests.device import COMPUTE
from tests.digits import digit_blocks
from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.training import TrainingPlan, accuracy, confusion, crop, crop_flip, predictions, train_classifier
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.steps import cosine_learning_rate


@cache
def pair_of_digits():
    """Zeros and ones: 80 to train on, 40 to test on."""
    blocks = list(digit_blocks(per_class=60, side=16, classes=2)())
    images = np.concatenate([block.rows.images for block in blocks])
    labels = np.concatenate([block.rows.labels for block in blocks])
    data = LabelledImages(images, labels, [str(row) for row in range(120)])
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0)).numpy()
    return data.take(order[:80]), data.take(order[80:])


@pytest.fixture(scope="module")
def two_digits():
    return pair_of_digits()


def test_a_victim_learns_zeros_from_ones_the_same_way_twice(two_digits):
    train, test = two_digits
    plan = TrainingPlan("resnet9", epochs=10, batch_size=16, augmentation="crop")
    curves = [train_classifier(train, test, 2, plan, COMPUTE).curve for _ in range(2)]
    assert curves[0][-1].test_accuracy >= 0.95
    assert [e.epoch for e in curves[0]] == list(range(1, 11))
    assert [(e.train_loss, e.test_accuracy) for e in curves[0]] == [(e.train_loss, e.test_accuracy) for e in curves[1]]


def test_labels_that_say_nothing_teach_nothing(two_digits):
    train, test = two_digits
    labels = torch.randint(0, 2, (80,), generator=torch.Generator().manual_seed(0)).numpy()
    noise = replace(train, labels=labels)
    curve = train_classifier(noise, test, 2, TrainingPlan("resnet9", 2, batch_size=16), COMPUTE).curve
    assert curve[-1].train_accuracy < 0.9


def test_the_confusion_is_of_the_network_that_is_taken(two_digits):
    train, test = two_digits
    told = []
    plan = TrainingPlan("resnet9", 3, batch_size=16, augmentation="none")
    training = train_classifier(train, test, 2, plan, COMPUTE, on_epoch=told.append)
    assert told == training.curve
    assert training.taken is training.curve[-1]
    assert training.confusion.sum(1).tolist() == np.bincount(test.labels).tolist()
    assert training.confusion.trace() / 40 == pytest.approx(training.taken.test_accuracy)


def test_early_stopping_hands_over_the_network_of_the_epoch_that_it_chose(two_digits, monkeypatch):
    train, test = two_digits
    held_out = iter([0.5, 1.0, 0.0, 0.5])
    monkeypatch.setattr(
        "ue_ray.evaluation.training.accuracy", lambda data, predicted: next(held_out) if len(data) == 8 else 0.5
    )
    plan = TrainingPlan("resnet9", 4, batch_size=16, learning_rate=0.2, augmentation="none")
    told = []
    training = train_classifier(train, test, 2, plan, COMPUTE, parse("early-stopping"), told.append)
    assert training.taken is told[1]
    assert confusion(test, predictions(training.network, test, COMPUTE), 2).tolist() == training.confusion.tolist()
    counted = {
        int(value) for name, value in training.network.state_dict().items() if name.endswith("num_batches_tracked")
    }
    assert counted == {2 * (72 // 16)}, "batches of two epochs"


def test_who_is_taken_for_whom_is_counted():
    data = LabelledImages(np.zeros((4, 12, 12, 3), np.uint8), np.array([0, 2, 2, 1]), list("abcd"))
    assert confusion(data, torch.tensor([0, 1, 2, 1]), 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert accuracy(data, torch.tensor([0, 1, 2, 1])) == 0.75


def test_a_set_smaller_than_a_batch_is_one_batch(two_digits):
    train, test = two_digits
    few = train.take(np.arange(5))
    assert len(train_classifier(few, test, 2, TrainingPlan("resnet9", 1), COMPUTE).curve) == 1


def test_crops_are_shifts_with_a_black_border():
    images = torch.full((50, 32, 32, 3), 9, dtype=torch.uint8)
    cropped = crop(images, torch.Generator().manual_seed(0))
    assert cropped.shape == images.shape
    kept = (cropped == 9).sum((1, 2, 3)) // 3
    assert kept.min() >= 28 * 28
    assert len(kept.unique()) > 5


def test_flips_mirror_about_half_of_the_images():
    ramp = torch.arange(32, dtype=torch.uint8).view(32, 1).expand(200, 32, 32, 3).contiguous()
    flipped = crop_flip(ramp, torch.Generator().manual_seed(0))
    falling = (flipped[:, 16, 20, 0].int() < flipped[:, 16, 12, 0].int()).sum()
    assert 70 < falling < 130


def test_the_cosine_goes_from_the_start_to_zero():
    assert cosine_learning_rate(0.1, 0, 60) == pytest.approx(0.1)
    assert cosine_learning_rate(0.1, 30, 60) == pytest.approx(0.05)
    assert cosine_learning_rate(0.1, 60, 60) == pytest.approx(0.0, abs=1e-8)


def test_an_unknown_augmentation_lists_the_choices(two_digits):
    train, test = two_digits
    with pytest.raises(UserError, match="crop-flip, crop, none"):
        train_classifier(train, test, 2, TrainingPlan("resnet9", 1, augmentation="cutout"), COMPUTE)
