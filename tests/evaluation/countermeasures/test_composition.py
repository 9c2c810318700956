"""Countermeasures one after the other."""

import numpy as np
import pytest
import torch
from torch import nn

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures import parse

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)


def test_images_are_purified_in_the_order_of_the_names():
    for first, second in (("grayscale", "jpeg-10"), ("jpeg-10", "grayscale")):
        expected = parse(second).purify(parse(first).purify(IMAGES))
        np.testing.assert_array_equal(parse(f"{first}+{second}").purify(IMAGES), expected)


def test_test_images_see_only_what_changes_their_kind():
    composed = parse("grayscale+jpeg-10")
    np.testing.assert_array_equal(composed.purify_test(IMAGES), parse("grayscale").purify(IMAGES))
    assert composed.on_test
    assert not parse("grayscale-train+jpeg-10").on_test


def test_batches_are_augmented_in_the_order_of_the_names():
    batch = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    targets = torch.eye(4)

    def augmented(*names):
        images, labels, generator = batch, targets, torch.Generator().manual_seed(0)
        for name in names:
            images, labels = parse(name).augment(images, labels, nn.Identity(), generator)
        return images, labels

    for found, expected in zip(augmented("cutout+mixup"), augmented("cutout", "mixup"), strict=True):
        assert torch.equal(found, expected)
    assert not torch.equal(augmented("cutout+mixup")[0], augmented("mixup+cutout")[0])


def test_what_parts_are_the_whole_is():
    composed = parse("jpeg-10+cutout+early-stopping")
    assert (composed.purifies, composed.augments, composed.held_out, composed.on_test) == (True, True, 0.1, False)
    assert not parse("grayscale+jpeg-10").augments
    assert not parse("cutout+mixup").purifies


@pytest.mark.parametrize(("name", "part"), [("grayscale+jpg-10", "jpg-10"), ("grayscale+", ""), ("+", "")])
def test_an_unknown_part_is_named(name, part):
    with pytest.raises(UserError, match=r"^unknown countermeasure ") as caught:
        parse(name)
    assert str(caught.value).startswith(f"unknown countermeasure {part!r} in {name!r}: choose among none, cutout, ")


def test_what_is_done_once_cannot_come_after_what_every_batch_does():
    with pytest.raises(UserError) as caught:
        parse("coin+jpeg-10")
    assert str(caught.value) == (
        "coin+jpeg-10: jpeg-10 is done once, before training, and coin in every batch: write jpeg-10 before coin"
    )
    assert parse("coin+jpeg-10-after").augments
