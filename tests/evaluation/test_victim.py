from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.training import tensors
from ue_ray.evaluation.victim import check_class_names, load_data_set, purified, random_control, recalls
from ue_ray.images.labelled import LabelledImages
from ue_ray.noise.budget import Budget
from ue_ray.storage.inputs.open_source import open_source


def data_set(images, ids=None, classes=2):
    count = len(images)
    labels = np.arange(count) % classes
    return LabelledImages(images, labels, ids or [f"id{i}" for i in range(count)], [f"c{i}" for i in range(classes)], 0)


@pytest.fixture
def clean():
    return data_set(np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8))


@pytest.mark.parametrize("budget", [Budget(8 / 255), Budget(0.5, "l2")])
def test_the_control_uses_the_budget_and_not_more(clean, budget):
    control = random_control(clean, budget)
    change = control.images.astype(np.float64) - clean.images
    sizes = np.abs(change).max((1, 2, 3)) if budget.norm == "linf" else np.sqrt(np.square(change).sum((1, 2, 3)))
    assert 0.5 * budget.epsilon < sizes.max() / 255 <= budget.epsilon + 1e-9
    np.testing.assert_array_equal(control.images, random_control(clean, budget).images)
    assert not np.array_equal(change[0], change[1])  # sample-wise


def test_purified_images_keep_their_labels_and_names(clean):
    gray = purified(clean, parse("grayscale"))
    assert (gray.images[..., 0] == gray.images[..., 2]).all()
    assert gray.images.shape == clean.images.shape
    assert (gray.labels is clean.labels, gray.sample_ids, gray.class_names) == (True, clean.sample_ids, ["c0", "c1"])
    assert not (clean.images[..., 0] == clean.images[..., 2]).all()


def loaded(uri, side):
    source = open_source(uri)
    return load_data_set(source, source.list(), side)


def test_a_source_is_loaded_at_one_size():
    digits = loaded("mnist5k-test", 14)
    assert digits.images.shape == (1000, 14, 14, 3)
    assert np.bincount(digits.labels).tolist() == [100] * 10
    assert tensors(digits)[0].shape == (1000, 14, 14, 3)


def test_a_source_without_one_good_image_is_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match="none of its 2 images"):
        loaded(str(tmp_path), 8)


def test_classes_are_found_by_their_names(tmp_path):
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    source = open_source(str(tmp_path))
    found = load_data_set(source, source.list(), 8, ["c", "a", "b"])
    assert (found.labels.tolist(), found.class_names) == ([2, 0], ["c", "a", "b"])


def test_a_class_may_be_absent_but_not_unknown():
    check_class_names({"--clean": ["a", "b", "c"], "--test": ["b", "a"]}, "--clean")
    many = [f"class {k}" for k in range(12)]
    with pytest.raises(UserError) as caught:
        check_class_names({"--clean": many, "--test": ["class 0", "bird"]}, "--clean")
    first = ", ".join(many[:10])
    assert str(caught.value) == (f"--test has classes that --clean does not have: bird; --clean has 12: {first}, ...")


def test_the_digest_is_of_the_pixels_the_labels_and_the_names(clean):
    moved = clean.images.copy()
    moved[3, 0, 0, 0] ^= 1
    others = (
        replace(clean, images=moved), replace(clean, labels=1 - clean.labels),
        replace(clean, class_names=["c1", "c0"]), replace(clean, sample_ids=clean.sample_ids[::-1]),
    )  # fmt: skip
    assert replace(clean, images=clean.images.copy()).digest() == clean.digest()
    assert len({clean.digest(), *(other.digest() for other in others)}) == 5


def test_balanced_accuracy_is_the_mean_over_the_classes_that_have_images():
    shares, present = recalls(np.array([[9, 1, 0], [4, 6, 0], [0, 0, 0]]))
    assert shares[present].mean() == pytest.approx(0.75)
