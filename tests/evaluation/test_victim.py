import numpy as np
import pytest

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.training import tensors
from ue_ray.evaluation.victim import check_same_classes, compare, load_data_set, purified, random_control
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


def test_the_change_is_measured_on_the_images_by_sample_id(clean):
    moved = clean.images[::-1].copy()  # the protected set comes in another order
    moved[0, 0, 0, 0] ^= 4
    protected = data_set(moved, clean.sample_ids[::-1])
    found = compare(clean, protected)
    assert (found.aligned, found.missing) == (6, 0)
    assert found.max_abs_delta == pytest.approx(4 / 255)
    assert found.mean_abs_delta == pytest.approx(4 / 255 / clean.images.size)
    assert [item.label for item in found.gallery] == ["c0", "c1"]
    np.testing.assert_array_equal(found.gallery[0].clean, clean.images[0])


def test_what_has_no_twin_is_counted(clean):
    assert compare(clean, data_set(clean.images[:4])).missing == 2
    strangers = compare(clean, data_set(clean.images, [f"other{i}" for i in range(6)]))
    assert (strangers.aligned, strangers.missing, strangers.max_abs_delta, strangers.gallery) == (0, 6, None, [])


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


def test_classes_must_agree_in_order():
    check_same_classes({"clean": ["a", "b"], "test": ["a", "b"]})
    with pytest.raises(UserError, match="--test has 2 classes"):
        check_same_classes({"clean": ["a", "b"], "test": ["b", "a"]})
