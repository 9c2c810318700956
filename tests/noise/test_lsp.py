"""LSP: the deltas are cells of one colour, near their class's code, and a linear classifier separates them."""

import numpy as np
import pytest
import torch

from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import noise_config, open_noise

CPU = Compute.detect("cpu")
CLASSES = [f"class {number}" for number in range(10)]


def drawn(per_class, side=16, names=CLASSES, **given):
    """float64 [N,3,s,s] in [0, 1] units, and labels: so many samples of each class."""
    config = noise_config({"method": "lsp", **given}, names, 1000, side)
    labels = torch.arange(len(names)).repeat_interleave(per_class)
    ids = [f"photo {row}" for row in range(len(labels))]
    return open_noise(NoiseArtifact(config), CPU).perturb(None, labels, ids).double().numpy(), labels.numpy()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_linear_classifier_fit_on_some_deltas_knows_the_others(norm):
    budget = {"norm": norm, "epsilon": 1.3 if norm == "l2" else 8 / 255}
    deltas, labels = drawn(40, granularity="sample-wise", **budget)
    features = deltas.reshape(len(deltas), -1)
    train = np.arange(len(labels)) % 40 < 20
    weights = np.linalg.lstsq(features[train], np.eye(10)[labels[train]], rcond=None)[0]
    assert ((features[~train] @ weights).argmax(1) == labels[~train]).mean() > 0.98


def test_each_of_4_by_4_cells_has_one_colour():
    deltas, _ = drawn(2, granularity="sample-wise")
    cells = deltas.reshape(len(deltas), 3, 4, 4, 4, 4)  # cell row, row in it, cell column, column in it
    np.testing.assert_array_equal(cells, np.broadcast_to(cells[:, :, :, :1, :, :1], cells.shape))
    assert len(np.unique(cells[0, :, :, 0, :, 0])) > 20  # colours, some of them cut


def test_the_budget_is_used():
    whole, _ = drawn(1, norm="l2", epsilon=1.3)
    np.testing.assert_allclose(np.linalg.norm(whole.reshape(10, -1), axis=1), 1.3, rtol=1e-5)
    np.testing.assert_allclose(np.abs(drawn(1)[0]), 8 / 255, rtol=1e-5)  # a class's corner
    own, _ = drawn(40, granularity="sample-wise")
    assert 0.75 < np.abs(own).mean() / (8 / 255) < 0.95


def test_samples_lie_around_their_classes_code():
    code, _ = drawn(1)
    own, labels = drawn(40, granularity="sample-wise")
    agree = (np.sign(own) == np.sign(code[labels])).mean((1, 2, 3))
    assert agree.min() > 0.85


def test_a_class_has_the_same_code_whoever_else_is_protected():
    np.testing.assert_array_equal(drawn(1, names=["ada", "bob"])[0][1], drawn(1, names=["bob"])[0][0])
