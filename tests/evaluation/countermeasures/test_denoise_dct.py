"""Denoising by the cosine transform: what is weak goes, what is strong or smooth stays."""

import numpy as np
import pytest

from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.countermeasures.denoise_dct import _cosines


def denoised(image):
    return parse("denoise-dct").purify(image.round().clip(0, 255).astype(np.uint8)[None])[0].astype(float)


def test_the_transform_is_the_orthonormal_one():
    # scipy.fft.dct(numpy.eye(4), norm="ortho", axis=0), rounded
    golden = [
        [0.5, 0.5, 0.5, 0.5],
        [0.653281, 0.270598, -0.270598, -0.653281],
        [0.5, -0.5, -0.5, 0.5],
        [0.270598, -0.653281, 0.653281, -0.270598],
    ]
    np.testing.assert_allclose(_cosines(4).numpy(), golden, atol=1e-6)
    np.testing.assert_allclose(_cosines(8) @ _cosines(8).T, np.eye(8), atol=1e-6)


def test_noise_on_a_flat_image_goes():
    noisy = 120 + np.random.default_rng(0).uniform(-8, 8, (32, 32, 3))
    assert (noisy - 120).std() > 4
    assert (denoised(noisy) - 120).std() < 1


@pytest.mark.parametrize(("amplitude", "least", "most"), [(4, 0, 0), (40, 39, 41)])
def test_a_checkerboard_goes_if_it_is_weak(amplitude, least, most):
    """Its waves in a patch have the norm amplitude x 8 x sqrt(3): 55 levels at 4, all below the threshold of 75."""
    board = np.where(np.indices((32, 32)).sum(0) % 2, amplitude, -amplitude)[..., None].repeat(3, -1)
    left = denoised(128.0 + board) - 128
    assert least <= np.abs(left[8:-8, 8:-8]).mean() <= most


def test_an_edge_stays():
    image = np.full((32, 32, 3), 40.0)
    image[:, 16:] = 200
    assert np.abs(denoised(image) - image).max() <= 12
    assert np.abs(denoised(image) - image).mean() <= 2
