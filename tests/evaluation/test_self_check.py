"""The quick check: it knows a noise that works from one that does not, and says when it cannot tell."""

import numpy as np
import pytest

import ue_ray
from ue_ray.evaluation.self_check import SelfCheck, check_noise, rows_to_check
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute

CPU = Compute.detect("cpu")


def shapes(a_class: int) -> LabelledImages:
    """Images of four brightnesses, one a class, in other noise each: easy to tell."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), a_class)
    levels = 40 + 50 * labels[:, None, None, None] + generator.normal(0, 20, (len(labels), 16, 16, 3))
    names = [f"class {number}" for number in range(4)]
    return LabelledImages(levels.clip(0, 255).astype(np.uint8), labels, [str(row) for row in range(len(labels))], names)


def test_a_control_is_weak():
    images = shapes(40)
    artifact = ue_ray.craft(images.images, images.labels, "random", class_names=images.class_names)
    checked = check_noise(images, artifact, CPU)
    assert checked.images == 120
    assert checked.chance == 0.25
    assert checked.clean > 0.9
    assert checked.weak
    assert str(checked).startswith(f"trained on 120 images, a network knows {100 * checked.clean:.0f} % of others")
    assert check_noise(images, artifact, CPU) == checked


@pytest.mark.parametrize(
    ("clean", "protected", "learnt", "weak"),
    [
        (0.9, 0.1, 0.0, False),
        (0.9, 0.05, 0.0, False),
        (0.9, 0.5, 0.5, False),
        (0.9, 0.6, 0.625, True),
        (0.25, 0.25, None, False),
    ],
)
def test_the_bounds(clean: float, protected: float, learnt: float | None, weak: bool):
    checked = SelfCheck(100, 0.1, clean, protected)
    assert checked.learnt == (None if learnt is None else pytest.approx(learnt))
    assert checked.weak == weak
    assert ("too few images to tell" in str(checked)) == (learnt is None)


def test_few_images_of_few_classes_are_enough():
    labels = np.concatenate([np.repeat(np.arange(100), 30), np.repeat(100, 500), np.repeat(101, 400), [-1] * 50])
    small, large = (labels[rows_to_check(labels, side, 0)] for side in (32, 224))
    names, counts = np.unique(small, return_counts=True)
    assert len(names) == 2 + (1000 - 2 * 60) // 30
    assert {100, 101} < set(names)
    assert counts.sum() > 900
    assert set(large) == {0, 1, 2, 3, 100, 101}
    assert 180 < len(large) <= 250
    assert rows_to_check(labels, 32, 0).tolist() == rows_to_check(labels, 32, 0).tolist()


@pytest.mark.parametrize("sizes", [(100,), (19, 19, 19), (100, 19), ()])
def test_too_few_images_are_not_checked(sizes):
    assert not len(rows_to_check(np.repeat(np.arange(len(sizes)), sizes), 32, 0))
    images = shapes(10)
    artifact = ue_ray.craft(images.images, images.labels, "random", class_names=images.class_names)
    assert check_noise(images, artifact, CPU) is None


def test_classes_that_are_not_there_are_not_told_apart():
    images = shapes(40)
    artifact = ue_ray.craft(images.images, images.labels, "random", class_names=images.class_names)
    checked = check_noise(images.take(images.labels >= 2), artifact, CPU)
    assert (checked.images, checked.chance) == (60, 0.5)
    assert checked.clean > 0.9
