"""Which images are shown follows from the images, not from the shards that they were in, nor from their order."""

import random
from collections import Counter
from dataclasses import asdict

import pytest

from ue_ray.images.quality import Likeness
from ue_ray.protection.looks import SPREAD, WORST, Look, Looks
from ue_ray.storage.inputs.listing import sample_id


def looks(count: int, classes: int) -> list[Look]:
    rng = random.Random(0)
    return [
        Look(sample_id(str(number)), number % classes, 0, Likeness(rng.uniform(20, 40), rng.random()))
        for number in range(count)
    ]


@pytest.mark.parametrize("classes", [2, 7, 30])
def test_a_sum_of_shards_is_that_of_all_images(classes: int):
    images = looks(300, classes)
    for seed in range(3):
        random.Random(seed).shuffle(images)
        shards = [Looks.of(images[start : start + 17]) for start in range(0, 300, 17)]
        assert sum(shards, Looks()) == Looks.of(looks(300, classes))


def test_every_class_is_shown_before_another_is_shown_twice():
    for classes in (2, 7, 30):
        shown = Counter(look.label for look in Looks.of(looks(300, classes)).spread)
        assert sum(shown.values()) == SPREAD
        assert len(shown) == min(classes, SPREAD)
        assert max(shown.values()) - min(shown.values()) <= 1


def test_the_worst_have_the_lowest_ssim_and_without_it_the_lowest_psnr():
    images = looks(300, 2)
    lowest = sorted(look.likeness.ssim or 0 for look in images)[:WORST]
    assert [look.likeness.ssim for look in Looks.of(images).worst] == lowest
    small = [Look(str(number), 0, 0, Likeness(number)) for number in range(20, 60)] + [Look("same", 0, 0, Likeness())]
    assert [look.sample_id for look in Looks.of(small).worst] == [str(number) for number in range(20, 30)]


def test_looks_survive_json():
    shown = Looks.of(looks(20, 3))
    assert Looks.from_json(asdict(shown)) == shown
