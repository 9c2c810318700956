"""Gratings: what tells the classes apart, what is the same whatever else is protected, and where they are chosen."""

import numpy as np
import pytest
import torch

from ue_ray.errors import UserError
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import noise_config, open_noise

CPU = Compute.detect("cpu")


def drawn(classes, side=16, **given):
    """The deltas of ``classes`` (a number, or names), in levels, as a class's image or ``ids``' images have them."""
    names = [f"class {number}" for number in range(classes)] if isinstance(classes, int) else classes
    ids = given.pop("ids", None)
    config = noise_config({"method": "gratings", **given}, names, 100 * len(names), side)
    labels = torch.arange(len(names)) if ids is None else torch.zeros(len(ids), dtype=torch.int64)
    delta = open_noise(NoiseArtifact(config), CPU).perturb(None, labels, ids or [""] * len(names))
    return (delta * 255).round().to(torch.int64).numpy()


def seen(delta):
    """What is left of a delta under every shift by a pixel and mirror: the products of each two channels' waves."""
    waves = np.fft.fft2(delta)[:, [0, 8, 8], [8, 0, 8]].real / 256 / 8  # columns, rows, checkerboard at side 16
    return np.einsum("ck,dk->cdk", waves, waves).round(6)


@pytest.mark.parametrize("classes", [2, 10, 54])
def test_no_two_classes_look_alike_under_shifts_and_mirrors(classes):
    deltas = drawn(classes)
    assert (np.abs(deltas) == 8).all()  # the whole budget
    assert len({seen(delta).tobytes() for delta in deltas}) == classes


def test_a_mirror_or_a_shift_leaves_what_a_network_sees():
    for delta in drawn(10):
        for changed in (delta[..., ::-1], delta[:, ::-1], np.roll(delta, 1, -1), np.roll(delta, (1, 1), (1, 2))):
            np.testing.assert_array_equal(seen(changed), seen(delta))


def test_few_classes_are_far_apart():
    """The products of ten codes differ by at least what one whole wave of another sign makes: 4 in each of 4 pairs."""
    codes = [seen(delta) for delta in drawn(10, seed=3)]
    distances = [((a - b) ** 2).sum() for i, a in enumerate(codes) for b in codes[:i]]
    assert min(distances) >= 8


def test_a_class_alone_or_one_of_many_has_a_code_of_its_own_name_and_seed():
    users = [f"user {number}" for number in range(99)] + ["ada"]
    alone, many = drawn(["ada"]), drawn(users, cells=8)
    np.testing.assert_array_equal(alone[0], many[-1])
    for of_all in (many, drawn(users)):
        assert len({delta.tobytes() for delta in of_all}) == 100
    assert (drawn(["ada"], seed=1) != alone).any()


def test_the_order_of_classes_is_drawn_by_the_seed():
    first, second = drawn(10), drawn(10, seed=1)
    assert any((first[row] != second[row]).any() for row in range(10))


def test_with_two_cells_each_quarter_has_a_colour():
    for delta in drawn(10, cells=2):
        for channel in delta:
            for rows in (slice(0, 8), slice(8, 16)):
                for columns in (slice(0, 8), slice(8, 16)):
                    assert len(np.unique(channel[rows, columns])) == 1


@pytest.mark.parametrize("seed", range(3))
def test_drawings_are_far_apart(seed):
    deltas = drawn(10, cells=2, seed=seed)
    assert min((a != b).mean() for i, a in enumerate(deltas) for b in deltas[:i]) == 0.5


def test_sample_wise_the_waves_are_the_classes_and_the_mean_is_nothing():
    ids = [f"photo {number}" for number in range(400)]
    deltas = drawn(10, ids=ids, granularity="sample-wise")
    of_class = drawn(10)[0]
    part = deltas[:, :, :4, :4].reshape(400, -1)
    shifts = {np.roll(of_class, shift, (1, 2))[:, :4, :4].tobytes() for shift in ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert {delta.reshape(3, 4, 4).tobytes() for delta in part} == shifts
    assert np.abs(deltas.mean(0)).max() < 2


def test_sample_wise_one_part_of_a_drawing_is_turned_round():
    deltas = drawn(10, ids=[f"photo {number}" for number in range(400)], granularity="sample-wise", cells=2)
    turned = deltas / drawn(10, cells=2)[0]
    assert set(np.unique(turned)) == {-1, 1}
    assert len({delta.tobytes() for delta in deltas}) == 16
    assert {float((each < 0).mean()) for each in turned} == {1 / 16}


@pytest.mark.parametrize(
    ("classes", "images", "side", "given", "method"),
    [
        (10, 1000, 32, {}, "gratings"),
        (10, 1000, 32, {"granularity": "sample-wise"}, "gratings"),
        (10, 999, 32, {}, "gratings"),
        (1, 1000, 32, {}, "gratings"),
        (55, 10000, 32, {}, "error-minimizing"),
        (55, 5000, 32, {}, "gratings"),
        (10, 1000, 65, {}, "gratings"),
        (10, 1000, 32, {"max_rounds": 3}, "error-minimizing"),
        (10, 1000, 32, {"canvas": 16}, "error-minimizing"),
        (10, 1000, 32, {"method": "random"}, "random"),
    ],
)
def test_the_collection_chooses_the_method(classes, images, side, given, method):
    names = [str(number) for number in range(classes)]
    assert noise_config(given, names, images, side).method == method


@pytest.mark.parametrize(
    ("classes", "images", "side", "given", "cells"),
    [
        (10, 1000, 64, {}, None),
        (10, 999, 64, {}, 8),
        (10, 1000, 65, {}, 8),
        (1, 1000, 32, {}, 8),
        (55, 10000, 32, {"method": "gratings"}, None),
        (10, 999, 65, {"cells": 4}, 4),
    ],
)
def test_coarse_ones_for_photos_and_for_few(classes, images, side, given, cells):
    names = [str(number) for number in range(classes)]
    assert noise_config(given, names, images, side).options["cells"] == cells


def test_coarse_ones_are_the_same_whoever_else_is_protected():
    together, alone = drawn(["ada", "bob"], cells=8), drawn(["bob"], cells=8)
    np.testing.assert_array_equal(together[1], alone[0])
    assert (together[0] != together[1]).any()


@pytest.mark.parametrize(("tint", "green"), [("opponent", -1), ("brightness", 1)])
def test_in_coarse_ones_green_goes_against_red_or_with_it(tint, green):
    for delta in drawn(10, cells=8, tint=tint):
        np.testing.assert_array_equal(delta[1], green * delta[0])
        assert (np.abs(delta) == 8).all()
        gray = np.abs(np.tensordot((0.299, 0.587, 0.114), delta, 1))
        assert (gray.min() > 0.7 * 8) == (tint == "brightness")


@pytest.mark.parametrize("given", [{}, {"cells": 2}])
def test_a_tint_that_would_change_nothing_is_refused(given):
    with pytest.raises(UserError, match=r"^--tint brightness is for coarse gratings: give --cells 8 or more"):
        drawn(10, tint="brightness", **given)


def test_crafted_noise_needs_another_class():
    with pytest.raises(UserError, match=r"^method error-minimizing tells classes apart, and there is one"):
        noise_config({"max_rounds": 3}, ["ada"], 60, 250)
