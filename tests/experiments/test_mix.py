import numpy as np
import pytest

from tests.evaluation.test_victim import data_set
from ue_ray.errors import UserError
from ue_ray.experiments import Mix
from ue_ray.experiments.mix import compose
from ue_ray.images.labelled import LabelledImages


@pytest.fixture
def clean():
    return data_set(np.full((40, 4, 4, 3), 100, np.uint8), classes=4)


def carrying(clean, change):
    """In another order."""
    return LabelledImages(
        clean.images[::-1] + np.uint8(change), clean.labels[::-1], clean.sample_ids[::-1], clean.class_names, 0
    )


@pytest.fixture
def noises(clean):
    return {"one": carrying(clean, 1), "two": carrying(clean, 2)}


def levels(data):
    assert (data.images == data.images[:, :1, :1, :1]).all()
    return data.images[:, 0, 0, 0] - 100


def test_nothing_is_mixed_in_by_default(clean):
    assert (levels(compose(Mix(), clean, {})) == 0).all()


def test_all_carry_the_noise_of_their_own_id(clean, noises):
    images = clean.images + np.arange(40, dtype=np.uint8).reshape(-1, 1, 1, 1)
    distinct = LabelledImages(images, clean.labels, clean.sample_ids, clean.class_names, 0)
    mixed = compose(Mix(("one",)), distinct, {"one": carrying(distinct, 1)})
    assert (mixed.images == distinct.images + 1).all()


def test_a_fraction_of_each_class_and_its_parts(clean, noises):
    mix = Mix(("one",), fraction=0.3)
    mixed = compose(mix, clean, noises)
    assert np.bincount(mixed.labels[levels(mixed) == 1]).tolist() == [3] * 4
    parts = [compose(Mix(("one",), fraction=0.3, part=part), clean, noises) for part in ("clean", "protected")]
    assert [len(part.labels) for part in parts] == [28, 12]
    assert sorted(parts[0].sample_ids + parts[1].sample_ids) == sorted(clean.sample_ids)
    assert set(parts[1].sample_ids) == {mixed.sample_ids[row] for row in np.flatnonzero(levels(mixed))}
    other = compose(Mix(("two",), fraction=0.3, part="clean"), clean, noises)
    assert other.sample_ids == parts[0].sample_ids, "which images are protected does not depend on the noise"


def test_only_some_classes(clean, noises):
    mixed = compose(Mix(("one",), classes=(1, 3)), clean, noises)
    assert set(mixed.labels[levels(mixed) == 1]) == {1, 3}
    assert (levels(mixed) == 1).sum() == 20


def test_one_of_two_and_one_on_top_of_another(clean, noises):
    either = levels(compose(Mix(("one", "two")), clean, noises))
    assert 10 < (either == 1).sum() < 30
    assert set(either) == {1, 2}
    assert (levels(compose(Mix(("one",), added="two"), clean, noises)) == 3).all()
    bright = data_set(np.full((4, 4, 4, 3), 254, np.uint8))
    top = compose(Mix(("one",), added="one"), bright, {"one": carrying(bright, 1)})
    assert (top.images == 255).all()


def test_the_positive_half_only_makes_pixels_brighter(clean):
    images = clean.images.copy()
    images[:, 0] += 3
    images[:, 1] -= 3
    noisy = LabelledImages(images, clean.labels, clean.sample_ids, clean.class_names, 0)
    mixed = compose(Mix(("one",), positive=True), clean, {"one": noisy}).images
    assert (mixed[:, 0] == 103).all()
    assert (mixed[:, 1:] == 100).all()


def test_an_image_without_a_twin_is_named(clean, noises):
    noises["one"] = LabelledImages(
        noises["one"].images[1:], noises["one"].labels[1:], noises["one"].sample_ids[1:], [], 0
    )
    with pytest.raises(UserError, match="one: has no image id39"):
        compose(Mix(("one",)), clean, noises)


def test_a_joined_mix_adds_its_classes_to_the_other_data(clean, noises):
    other = LabelledImages(
        np.full((6, 4, 4, 3), 50, np.uint8), np.array([0, 1] * 3), list("abcdef"), ["oak", "pine"], 1
    )
    mix = Mix(("two",), classes=(1, 3), part="protected", joined=True)
    data = compose(mix, clean, noises, other)
    assert data.class_names == ["oak", "pine", "c1 (added)", "c3 (added)"]
    assert np.bincount(data.labels).tolist() == [3, 3, 10, 10]
    assert (data.images[:6] == 50).all()
    assert (data.images[6:] == 102).all()
    assert data.sample_ids[:6] == other.sample_ids
    tested = compose(mix.of_test, clean, {}, other)
    assert tested.labels.tolist() == data.labels.tolist()
    assert (tested.images[6:] == 100).all(), "tests are on clean images"


def test_no_two_training_sets_have_one_name():
    mixes = [
        Mix(), Mix(("one",)), Mix(("one", "two")), Mix(("one",), added="two"), Mix(("one",), positive=True),
        Mix(("one",), fraction=0.5), Mix(("one",), classes=(1,)), Mix(("one",), classes=(1,), part="clean"),
        Mix(("one",), joined=True),
    ]  # fmt: skip
    assert len({mix.name for mix in mixes}) == len(mixes)
    assert Mix(("one",), fraction=0.8, part="clean").name == "one-80%-clean"
    assert Mix(("one",), classes=(0, 4, 7)).name == "one-classes-0-4-7"
    assert Mix(("one",), classes=tuple(range(0, 60, 3))).name == "one-classes-0-to-57-by-3"
    assert Mix(("one",), classes=(0, 3, 6, 9, 11)).name == "one-classes-0-3-6-9-11"
