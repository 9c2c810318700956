"""CUDA: each class is blurred by a kernel of its own."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

import ue_ray
from tests.device import COMPUTE
from ue_ray.errors import UserError
from ue_ray.noise.methods import new_method, noise_config


def kernels(class_names=("a", "b", "c"), **given):
    config = noise_config({"method": "cuda", **given}, class_names, images=10, side=32)
    return new_method(config, COMPUTE).kernels


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 20, 31, 3), dtype=np.uint8)


@pytest.mark.parametrize("given", [{}, {"kernel_size": 9, "blur": 0.06, "seed": 3}])
def test_a_protected_image_is_its_convolution_with_the_kernel_of_its_class(images, given):
    labels = np.arange(6) % 3
    protector = ue_ray.Protector(ue_ray.craft(images, labels, "cuda", class_names=["a", "b", "c"], **given))
    protected = np.stack(protector.protect(images, labels))
    weights = torch.from_numpy(kernels(**given)).double()[:, None].expand(-1, 3, -1, -1)[:, :, None]
    for image, label, blurred in zip(images, labels, protected, strict=True):
        seen = torch.from_numpy(image).double().permute(2, 0, 1)[None]
        expected = conv2d(seen, weights[label], padding=weights.shape[-1] // 2, groups=3)[0].permute(1, 2, 0)
        np.testing.assert_allclose(blurred, 255 * expected / expected.max(), atol=0.51)
        assert blurred.max() == 255


def test_kernels_are_the_papers():
    drawn = kernels([str(number) for number in range(200)])
    assert drawn.shape == (200, 3, 3)
    assert ((drawn == 1).sum((1, 2)) == 1).all()  # anywhere in it
    assert len({int(kernel.argmax()) for kernel in drawn}) == 9
    others = drawn[drawn != 1]
    assert 0 <= others.min() < 0.001
    assert 0.299 < others.max() < 0.3
    assert abs(others.mean() - 0.15) < 0.01


def test_a_class_has_the_same_kernel_whoever_else_is_protected():
    np.testing.assert_array_equal(kernels(("b",))[0], kernels(("a", "b"))[1])
    assert not np.array_equal(kernels(("b",), owner="me")[0], kernels(("b",))[0])


def test_a_black_image_stays_black():
    black = np.zeros((1, 8, 8, 3), np.uint8)
    (protected,) = ue_ray.Protector(ue_ray.craft(black, ["a"], "cuda")).protect(black, ["a"])
    assert not protected.any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kernel_size": 4}, "--kernel-size is 4: it must be odd, and at least 3"),
        ({"blur": 0.0}, "--blur is 0: it must be above 0 and at most 1"),
        ({"granularity": "sample-wise"}, "unknown granularity 'sample-wise' for method cuda: choose one of class-wise"),
    ],
)
def test_a_mistake_is_one_line(given, said):
    with pytest.raises(UserError, match=said):
        kernels(**given)
