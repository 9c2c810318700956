import math

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from ue_ray.images.quality import psnr, ssim, ssim_of_pairs


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(20, 236, (24, 30, 3), dtype=np.uint8)


def test_an_image_is_like_itself(image):
    assert psnr(image, image) == math.inf
    assert ssim(image, image) == pytest.approx(1)


def test_psnr_by_hand(image):
    assert psnr(image, image + np.uint8(4)) == pytest.approx(10 * math.log10(255**2 / 16))


def test_ssim_of_two_flat_images_is_that_of_their_means():
    dark, bright = np.full((20, 20, 3), 50, np.uint8), np.full((20, 20, 3), 100, np.uint8)
    stable = (0.01 * 255) ** 2
    assert ssim(dark, bright) == pytest.approx((2 * 50 * 100 + stable) / (50**2 + 100**2 + stable), abs=1e-4)


def test_ssim_of_one_window_is_its_definition(image):
    """Weighted moments of an 11x11 image, written out."""
    before, after = image[:11, :11].astype(float), (255 - image[:11, 3:14]).astype(float)
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = (np.outer(line, line) / line.sum() ** 2)[..., None]
    means = [(weights * of).sum((0, 1)) for of in (before, after)]
    variances = [(weights * (of - mean) ** 2).sum((0, 1)) for of, mean in zip((before, after), means, strict=True)]
    covariance = (weights * (before - means[0]) * (after - means[1])).sum((0, 1))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * means[0] * means[1] + c1) * (2 * covariance + c2)
    expected /= (means[0] ** 2 + means[1] ** 2 + c1) * (sum(variances) + c2)
    assert ssim(image[:11, :11], 255 - image[:11, 3:14]) == pytest.approx(expected.mean(), abs=1e-5)


def test_more_noise_is_less_like(image):
    signs = np.random.default_rng(1).choice([-1, 1], image.shape)
    likeness = [ssim(image, (image + size * signs).astype(np.uint8)) for size in (2, 8, 16)]
    assert 1 > likeness[0] > likeness[1] > likeness[2] > 0


def every_window(before, after):
    """Mean SSIM over all windows, by the sums of each."""
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(line, line) / line.sum() ** 2
    x, y = (sliding_window_view(image.astype(float), (11, 11), (0, 1)) for image in (before, after))
    moments = [np.einsum("hwcij,ij->hwc", moment, weights) for moment in (x, y, x * x, y * y, x * y)]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    means = (2 * moments[0] * moments[1] + c1) / (moments[0] ** 2 + moments[1] ** 2 + c1)
    variances = moments[2] - moments[0] ** 2 + moments[3] - moments[1] ** 2
    return np.mean(means * (2 * (moments[4] - moments[0] * moments[1]) + c2) / (variances + c2))


@pytest.mark.parametrize("shape", [(11, 13), (32, 32), (60, 400), (200, 90)])
def test_a_grid_of_windows_tells_what_all_windows_tell(shape):
    rng = np.random.default_rng(2)
    slope = np.linspace(0, 200, shape[1])[None, :, None] + np.linspace(0, 40, shape[0])[:, None, None]
    before = (slope + rng.integers(0, 8, (*shape, 3))).astype(np.uint8)
    after = (before + rng.integers(0, 9, before.shape)).clip(0, 255).astype(np.uint8)
    assert ssim(before, after) == pytest.approx(every_window(before, after), abs=0.01)


def test_pairs_of_many_sizes_have_the_ssim_that_each_has_alone():
    rng = np.random.default_rng(3)
    sides = [(32, 32), (40, 30), (32, 32), (10, 50), (700, 600), (700, 600)]
    pairs = [tuple(rng.integers(0, 256, (2, *side, 3), dtype=np.uint8)) for side in sides]
    alone = [None if min(before.shape[:2]) < 11 else pytest.approx(ssim(before, after)) for before, after in pairs]
    assert ssim_of_pairs(pairs) == alone


def test_psnr_of_a_large_image_is_summed_exactly():
    before = np.zeros((1000, 700, 3), np.uint8)
    assert psnr(before, before + np.uint8(255)) == 0


def test_an_image_smaller_than_the_window_is_refused(image):
    with pytest.raises(ValueError, match="30x10 is smaller than the window"):
        ssim(image[:10], image[:10])
