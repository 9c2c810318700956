"""What holds for every countermeasure, and what each does: one table, one set of tests."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.device import COMPUTE
from tests.digits import digit_blocks
from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures import COUNTERMEASURES, Countermeasure, parse
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.evaluation.victim import load_data_set, run_victim
from ue_ray.learning.models import build
from ue_ray.storage.inputs.open_source import open_source

TABLE = {  # name -> what it changes
    "none": None,
    "cutout": "augment",
    "mixup": "augment",
    "cutmix": "augment",
    "fast-autoaugment": "augment",
    "autoaugment": "augment",
    "randaugment": "augment",
    "grayscale": "purify",
    "grayscale-train": "purify",
    "jpeg-95": "purify",
    "jpeg-50": "purify",
    "jpeg-10-after": "augment",
    "resize-half": "purify",
    "bit-depth-3": "purify",
    "gaussian-blur": "purify",
    "gaussian-blur-0.5": "purify",
    "median": "purify",
    "denoise-dct": "purify",
    "orthogonal-projection": "purify all",
    "coin": "augment",
    "ueraser": "augment",
    "ueraser-lite": "augment",
    "ueraser-max": "augment",
    "adversarial-training-8": "augment",
    "early-stopping": None,
}
LABELS = np.arange(20) // 2
WITHOUT_CHANCE = ("jpeg-10-after",)  # of those that augment


@pytest.fixture(scope="module")
def images():
    """Digits in colours of their own: uint8 [20,28,28,3]."""
    found = np.concatenate([block.rows.images for block in digit_blocks(per_class=2, side=28)()])
    tint = np.random.default_rng(0).uniform(0.2, 1, (len(found), 1, 1, 3))
    return (found * tint).astype(np.uint8)


def test_the_table_covers_every_countermeasure():
    assert {type(parse(name)) for name in TABLE} == set(COUNTERMEASURES.values())


def test_a_countermeasure_whose_name_begins_as_another_s_is_reached(monkeypatch):
    class Own(Countermeasure):
        forms = "jpeg-like"

    class Shorter(Countermeasure):
        forms = "bit"

    monkeypatch.setitem(COUNTERMEASURES, "jpeg-like", Own)
    monkeypatch.setitem(COUNTERMEASURES, "bit", Shorter)
    assert isinstance(parse("jpeg-like"), Own)
    assert isinstance(parse("bit"), Shorter)
    assert parse("jpeg-50").quality == 50
    assert parse("bit-depth-3").bits == 3


@pytest.mark.parametrize("name", TABLE)
def test_contract(name, images):
    countermeasure = parse(name)
    before = images.copy()
    images.flags.writeable = False  # as arrays from an object store are
    purified = countermeasure.purify_all(images, LABELS)
    images.flags.writeable = True
    np.testing.assert_array_equal(images, before)
    assert (purified.shape, purified.dtype) == (images.shape, images.dtype)
    assert countermeasure.purifies == (TABLE[name] in ("purify", "purify all"))
    assert np.array_equal(purified, images) != countermeasure.purifies
    np.testing.assert_array_equal(parse(name).purify_all(images, LABELS), purified)  # always in the same way
    if TABLE[name] != "purify all":
        np.testing.assert_array_equal(countermeasure.purify(images[7:8]), purified[7:8])  # each image by itself
    assert list(inspect.signature(countermeasure.purify).parameters) == ["images"]  # it knows of nothing else
    assert list(inspect.signature(countermeasure.purify_all).parameters) == ["images", "labels"]
    assert countermeasure.purify_all(images[:, :13, :13], LABELS).shape == (20, 13, 13, 3)


@pytest.mark.parametrize("name", TABLE)
def test_contract_of_augmenting(name, images):
    countermeasure = parse(name)
    batch = COMPUTE.images(torch.from_numpy(images))
    targets = functional.one_hot(torch.arange(20) % 10, 10).to(COMPUTE.device, torch.float32)
    network = COMPUTE.place(build("resnet9", 10, 28))
    weights = {key: value.clone() for key, value in network.state_dict().items()}

    def augmented(seed):
        given = batch.clone(), targets.clone()
        found = countermeasure.augment(*given, network, torch.Generator().manual_seed(seed))
        assert torch.equal(given[0], batch)
        assert torch.equal(given[1], targets)
        return found

    changed, mixed = augmented(0)
    assert (changed.shape, changed.dtype, mixed.shape) == (batch.shape, batch.dtype, targets.shape)
    assert changed.min() >= 0
    assert changed.max() <= 1
    torch.testing.assert_close(mixed.sum(1).cpu(), torch.ones(20))
    assert countermeasure.augments == (TABLE[name] == "augment")
    assert torch.equal(changed, batch) != countermeasure.augments
    assert torch.equal(augmented(0)[0], changed)
    assert torch.equal(augmented(1)[0], changed) == (not countermeasure.augments or name in WITHOUT_CHANCE)
    assert network.training
    assert all(weight.requires_grad for weight in network.parameters())
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_cutout_blanks_at_most_a_quarter():
    changed, _ = parse("cutout").augment(
        torch.ones(200, 3, 32, 32), torch.ones(200, 1), nn.Identity(), torch.Generator().manual_seed(0)
    )
    blank = (changed == 0).all(1).sum((1, 2))
    assert blank.max() == 256
    assert blank.min() >= 64  # a corner's


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_labels_are_mixed_as_the_pixels_are(name):
    classes = torch.arange(4).repeat(8)
    images = (classes / 3).view(-1, 1, 1, 1).expand(-1, 3, 32, 32).contiguous()
    targets = functional.one_hot(classes, 4).to(torch.float32)
    for seed in range(10):
        changed, mixed = parse(name).augment(images, targets, nn.Identity(), torch.Generator().manual_seed(seed))
        expected = (mixed * torch.arange(4) / 3).sum(1)
        torch.testing.assert_close(changed.mean((1, 2, 3)), expected, rtol=0, atol=0.02 if name == "mixup" else 0.5)
    if name == "cutmix":
        assert set(changed.unique().tolist()) <= set((torch.arange(4) / 3).tolist())


@pytest.mark.parametrize("levels", [4, 8])
def test_an_adversarial_batch_is_harder_and_within_its_budget(images, levels):
    torch.manual_seed(0)
    network = COMPUTE.place(build("resnet9", 10, 28))
    batch = COMPUTE.images(torch.from_numpy(images))
    targets = functional.one_hot(torch.arange(20) % 10, 10).to(COMPUTE.device, torch.float32)
    moved, _ = parse(f"adversarial-training-{levels}").augment(
        batch, targets, network, torch.Generator().manual_seed(0)
    )
    assert 0.99 * levels <= 255 * (moved - batch).abs().max() <= levels + 1e-3
    network.eval()
    assert functional.cross_entropy(network(moved), targets) > functional.cross_entropy(network(batch), targets)


def test_early_stopping_keeps_a_tenth_and_takes_the_epoch_that_does_best_on_it():
    source = open_source("mnist5k-test")
    digits = load_data_set(source, source.list(), 14)
    plan = TrainingPlan("resnet9", 3, batch_size=64, augmentation="none")
    result = run_victim(digits, digits, "clean", "early-stopping", plan, COMPUTE)
    known = [epoch["held_out_accuracy"] for epoch in result["curve"]]
    best = max(range(3), key=lambda epoch: (known[epoch], epoch))
    assert all(accuracy is not None and round(accuracy * 100) == pytest.approx(accuracy * 100) for accuracy in known)
    assert result["final_test_accuracy"] == result["curve"][best]["test_accuracy"]


def test_only_a_change_of_representation_reaches_the_test_images():
    assert [name for name in TABLE if parse(name).on_test] == ["grayscale"]
    assert Countermeasure.on_test is False


def test_grayscale_leaves_no_colour(images):
    gray = parse("grayscale").purify(images)
    np.testing.assert_array_equal(gray, gray[..., :1].repeat(3, -1))
    assert abs(gray[..., 0].mean() - (images @ [0.299, 0.587, 0.114]).mean()) < 1


def test_grayscale_of_the_training_images_alone_leaves_tests_in_colour(images):
    countermeasure = parse("grayscale-train")
    np.testing.assert_array_equal(countermeasure.purify(images), parse("grayscale").purify(images))
    np.testing.assert_array_equal(countermeasure.purify_test(images), images)
    np.testing.assert_array_equal(parse("grayscale").purify_test(images), parse("grayscale").purify(images))


def test_jpeg_after_the_crop_is_the_same_file_format(images):
    batch = COMPUTE.images(torch.from_numpy(images))
    changed, _ = parse("jpeg-10-after").augment(batch, torch.ones(20, 1), nn.Identity(), torch.Generator())
    expected = COMPUTE.images(torch.from_numpy(parse("jpeg-10").purify(images)))
    torch.testing.assert_close(changed, expected, rtol=0, atol=1e-6)


def test_a_lower_quality_loses_more(images):
    lost = [np.abs(parse(f"jpeg-{quality}").purify(images) - images.astype(int)).mean() for quality in (100, 75, 10)]
    assert 0 < lost[0] < lost[1] < lost[2]


def test_resizing_keeps_what_is_smooth_and_loses_what_is_fine():
    smooth = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None] * 4, (1, 32, 32, 3))
    fine = np.indices((32, 32)).sum(0, dtype=np.uint8)[None, :, :, None].repeat(3, -1) % 2 * 16 + 100
    resized = [parse("resize-half").purify(image).astype(int) for image in (smooth, fine)]
    assert np.abs(resized[0] - smooth).max() <= 4
    assert np.ptp(resized[1]) <= 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "jpg-50",
        "jpeg",
        "jpeg-0",
        "jpeg-101",
        "jpeg-high",
        "resize",
        "jpeg-50-",
        "jpeg-050",
        "jpeg-50-before",
        "grayscale-2",
        "grayscale-",
        "bit-depth-8",
        "bit",
        "gaussian-blur-9",
    ],
)
def test_an_unknown_name_lists_the_choices(name):
    with pytest.raises(UserError) as caught:
        parse(name)
    assert str(caught.value) == (
        f"unknown countermeasure {name!r}: choose among none, cutout, mixup, cutmix, fast-autoaugment, autoaugment, "
        "randaugment, grayscale, grayscale-train, jpeg-1 ... jpeg-100, jpeg-1-after ... jpeg-100-after, resize-half, "
        "bit-depth-1 ... bit-depth-7, gaussian-blur, gaussian-blur-0.5 ... gaussian-blur-5, median, "
        "denoise-dct, orthogonal-projection, coin, ueraser, ueraser-lite, ueraser-max, adversarial-training-1 ... "
        "adversarial-training-32, early-stopping, several with +, such as grayscale+jpeg-10"
    )


def test_a_name_that_begins_with_another_is_reached(monkeypatch):
    monkeypatch.setitem(COUNTERMEASURES, "jpeg-after", type("JpegAfter", (COUNTERMEASURES["jpeg"],), {}))
    assert type(parse("jpeg-after-50")) is COUNTERMEASURES["jpeg-after"]
    assert type(parse("jpeg-50")) is COUNTERMEASURES["jpeg"]
    with pytest.raises(UserError, match="unknown countermeasure 'jpeg-after'"):
        parse("jpeg-after")


def test_fewer_bits_are_fewer_levels(images):
    assert len(np.unique(parse("bit-depth-2").purify(images))) == 4
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(parse("bit-depth-2").purify(every), np.repeat([0, 64, 128, 192], 64))


def test_median_takes_away_a_pixel_and_keeps_an_edge():
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[:, :, 4:] = 200
    spotted = image.copy()
    spotted[0, 3, 1] = spotted[0, 0, 0] = 255
    spotted[0, 5, 6, 1] = 0
    np.testing.assert_array_equal(parse("median").purify(spotted), image)
