"""AR: one convolution takes all deltas of a class to zero; the recursion is the paper's, pixel by pixel."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from ue_ray.learning.compute import Compute
from ue_ray.noise.methods import METHODS, noise_config
from ue_ray.noise.methods.autoregressive import fill

CPU = Compute.detect("cpu")
CLASSES = [f"class {number}" for number in range(10)]


def method(side=32, **given):
    config = noise_config({"method": "autoregressive", "granularity": "sample-wise", **given}, CLASSES, 1000, side)
    return METHODS["autoregressive"](config, CPU)


def residual(delta, kernel):
    """float64 [3,s-2,s-2]: what is left of a delta after the convolution with a kernel whose last entry is -1."""
    weights = torch.from_numpy(kernel).clone().unsqueeze(1)
    weights[:, 0, 2, 2] = -1
    return functional.conv2d(delta.double()[None], weights, groups=3)[0]


@pytest.mark.parametrize("budget", [{"epsilon": 8 / 255}, {"norm": "l2", "epsilon": 1.0}], ids=["linf", "l2"])
def test_the_residual_of_the_recursion_is_zero_for_the_own_class_alone(budget):
    ar = method(**budget)
    for number, name in enumerate(CLASSES):
        other = CLASSES[number - 1]
        for sample in ("photo 0", "photo 1"):
            delta = ar.draw(name, sample)
            assert residual(delta, ar.kernel(name)).abs().max() < 1e-6 * max(1, float(delta.abs().max()))
            assert residual(delta, ar.kernel(other)).norm() > 0.05 * delta.norm()


def test_diagonals_at_once_are_the_pixels_in_turn():
    chance = np.random.default_rng(0)
    kernels, start = chance.uniform(0, 0.2, (3, 3, 3)), chance.standard_normal((3, 9, 9))
    kernels[:, 2, 2] = 0
    turn = start.copy()
    for row in range(2, 9):
        for column in range(2, 9):
            for channel in range(3):
                square = turn[channel, row - 2 : row + 1, column - 2 : column + 1]
                turn[channel, row, column] = (square * kernels[channel]).sum()
    np.testing.assert_allclose(fill(kernels, start.copy()), turn, rtol=1e-12)


def test_a_kernel_sums_to_one_and_its_last_entry_is_nothing():
    ar = method()
    for name in CLASSES:
        np.testing.assert_allclose(ar.kernel(name).sum((1, 2)), 1)
        assert (ar.kernel(name)[:, 2, 2] == 0).all()


def test_no_class_diverges():
    """One that does is dark but for a corner: its last quarter outweighs its first a thousand times."""
    ar = method(side=48)
    for number in range(40):
        delta = ar.draw(f"class {number}", "photo").numpy()
        for channel in delta:
            first, last = np.square(channel[:12, :12]).mean(), np.square(channel[-12:, -12:]).mean()
            assert last < 100 * first


@pytest.mark.parametrize("sample", [None, "photo"])
def test_the_budget_is_used(sample):
    assert np.linalg.norm(method(norm="l2", epsilon=1.0).draw("a", sample)) == pytest.approx(1, rel=1e-5)
    assert np.abs(method().draw("a", sample)).max() == pytest.approx(8 / 255, rel=1e-5)
