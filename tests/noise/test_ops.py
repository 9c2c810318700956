"""OPS: one pixel of a class's images, the one that changes them most alike."""

import io

import numpy as np
import pytest
from PIL import Image

import ue_ray
from tests.device import COMPUTE
from ue_ray.errors import UserError
from ue_ray.images.labelled import LabelledImages
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.methods import new_method, noise_config
from ue_ray.noise.methods.ops import COLOURS, stability
from ue_ray.storage.inputs.blocks import Block


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (60, 12, 12, 3), dtype=np.uint8), np.arange(60) % 3


def changed(images, labels, artifact):
    protected = np.stack(ue_ray.Protector(artifact).protect(images, labels))
    return protected, (protected != images).any(3)


def test_one_pixel_of_an_image_changes_the_same_in_all_of_a_class(photos):
    images, labels = photos
    protected, change = changed(*photos, ue_ray.craft(images, labels, "ops"))
    assert (change.sum((1, 2)) == 1).all()
    codes = set()
    for label in range(3):
        (place,) = {tuple(at) for at in np.argwhere(change[labels == label])[:, 1:].tolist()}
        (colour,) = {tuple(colour) for colour in protected[labels == label][:, *place].tolist()}
        assert set(colour) <= {0, 255}
        codes.add((place, colour))
    assert len(codes) == 3


def test_the_pixel_is_that_of_the_authors_search(photos):
    """Their loop (github.com/cychomatica/One-Pixel-Shotcut, ``perturb.py``): every pixel and colour in turn."""
    images, labels = photos
    chosen = images[labels == 1].astype(float)
    expected = np.empty((12, 12, 8))
    for row, column, colour in np.ndindex(expected.shape):
        distance = np.abs(COLOURS[colour] - chosen[:, row, column])
        expected[row, column, colour] = distance.mean() / distance.std()
    levels = images[labels == 1].astype(np.int64)
    np.testing.assert_allclose(stability(len(levels), levels.sum(0), (levels**2).sum(0)), expected)
    artifact = ue_ray.craft(images[labels == 1], np.zeros(20, int), "ops", class_names=["a", "b"])
    row, column, colour = np.unravel_index(expected.argmax(), expected.shape)
    assert artifact.tensors["places"][0].tolist() == [row, column]
    assert artifact.tensors["colours"][0].tolist() == COLOURS[colour].tolist()


def test_no_two_classes_share_pixel_and_colour_where_all_are_alike():
    """All black, as the border of digits: white changes every pixel alike, and the seed draws one."""
    images, labels = np.zeros((30, 8, 8, 3), np.uint8), np.arange(30) % 10
    first, second = (ue_ray.craft(images, labels, "ops", seed=seed).tensors for seed in (0, 1))
    assert len({tuple(place) for place in first["places"].tolist()}) == 10
    assert (first["colours"] == 255).all()
    assert not np.array_equal(first["places"], second["places"])


def test_what_changes_nothing_is_never_chosen():
    assert stability(5, np.zeros((1, 1, 3), np.int64), np.zeros((1, 1, 3), np.int64))[0, 0].argmin() == 0  # black
    full = np.full((1, 1, 3), 5 * 255)
    assert stability(5, full, full * 255)[0, 0].argmin() == 7  # white


def test_data_in_several_windows_is_counted_once(photos):
    images, labels = photos
    config = noise_config({"method": "ops"}, ["a", "b", "c"], 60, 12)
    blocks = [
        Block(rows, LabelledImages(images[rows], labels[rows], [str(row) for row in rows]))
        for rows in np.array_split(np.arange(60), 7)
    ]
    tensors = [
        new_method(config, COMPUTE).craft(Windows(lambda: iter(blocks), 1, COMPUTE, window_bytes)).tensors
        for window_bytes in (1 << 20, 10_000)
    ]
    assert all(np.array_equal(tensors[0][name], tensors[1][name]) for name in ("places", "colours"))


def test_a_photo_of_another_size_has_its_pixel_at_the_same_place(photos):
    artifact = ue_ray.craft(*photos, "ops")
    place = artifact.tensors["places"][0].numpy()
    _, change = changed(np.full((1, 36, 60, 3), 100, np.uint8), [0], artifact)
    assert np.argwhere(change[0]).tolist() == [[3 * place[0] + 1, 5 * place[1] + 2]]


@pytest.mark.parametrize("option", [{"epsilon": "8/255"}, {"norm": "l2"}, {"canvas": 8}, {"patch": 8}])
@pytest.mark.parametrize(("method", "budget"), [("ops", "1 pixel (l0)"), ("cuda", "unbounded")])
def test_a_budget_of_its_own_is_not_the_users(method, budget, option):
    with pytest.raises(UserError) as raised:
        noise_config({"method": method, **option}, ["a", "b"], 10, 32)
    (name,) = option
    assert str(raised.value) == f"--{name} does not go with method {method}, whose budget is its own: {budget}"


def test_a_share_to_choose_on_is_checked():
    with pytest.raises(UserError, match="--data-fraction is 2: it must be above 0 and at most 1"):
        noise_config({"method": "ops", "data_fraction": 2}, ["a", "b"], 10, 32)


def test_pictures_stay_pictures(photos):
    images, labels = photos
    artifact = ue_ray.craft(images, labels, "ops")
    (protected,) = ue_ray.Protector(artifact).protect([Image.fromarray(images[0])], [0])
    protected.save(io.BytesIO(), "PNG")
    assert np.array_equal(protected, changed(images[:1], [0], artifact)[0][0])
