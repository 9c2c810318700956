"""Views: the same shape, seeded, differentiable; JPEG beside the real one."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from ue_ray.errors import UserError
from ue_ray.noise.crafting.jpeg import jpeg_round_trip
from ue_ray.noise.crafting.options import parse_views
from ue_ray.noise.crafting.views import VIEWS, random_view


def pictures(height, width, count=4):
    """Smooth in the large, a little rough in the small, as photographs are: float32 [count,3,height,width]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    fine = torch.randn(count, 3, height, width, generator=generator)
    smooth = functional.interpolate(coarse, (height, width), mode="bicubic")
    levels = (255 * (0.2 + 0.6 * smooth) + 3 * fine).round().clamp(0, 255)
    return levels / 255


def real_jpeg(images, quality, halve_chroma):
    decoded = []
    for image in (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0" if halve_chroma else "4:4:4")
        decoded.append(np.array(Image.open(file)))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2) / 255


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_keeps_shape_and_range_is_seeded_and_passes_gradients(name):
    images = pictures(32, 32).requires_grad_()
    seen = VIEWS[name](images, np.random.default_rng(3))
    assert seen.shape == images.shape
    assert seen.min() >= 0
    assert seen.max() <= 1
    assert torch.equal(seen, VIEWS[name](images, np.random.default_rng(3)))
    assert not torch.equal(seen, images)
    (gradient,) = torch.autograd.grad(seen.square().sum(), images)
    assert gradient.isfinite().all()
    assert (gradient != 0).float().mean() > 0.5


@pytest.mark.parametrize("halve_chroma", [False, True])
@pytest.mark.parametrize("quality", [30, 50, 75, 95])
@pytest.mark.parametrize(("height", "width", "levels"), [(32, 32, 1), (77, 101, 1), (13, 9, 2)])
def test_jpeg_is_on_average_within_a_level_of_the_real_one(height, width, levels, quality, halve_chroma):
    images = pictures(height, width)
    real = real_jpeg(images, quality, halve_chroma)
    ours = jpeg_round_trip(images, quality, halve_chroma)
    assert (ours - real).abs().mean() < levels / 255
    assert (ours - real).abs().mean() < (images - real).abs().mean() / 3


def test_jpegs_gradient_is_that_of_its_parts_without_the_rounding():
    images = pictures(16, 16).double().requires_grad_()
    (gradient,) = torch.autograd.grad(jpeg_round_trip(images, 50, halve_chroma=False).sum(), images)
    assert gradient == pytest.approx(1, abs=1e-3)  # without rounding and subsampling, JPEG is the identity


def test_resize_reaches_down_to_half_the_side():
    rough = (torch.arange(32) % 2).float().expand(1, 3, 32, 32)
    spreads = [float(VIEWS["resize"](rough, np.random.default_rng(seed))[..., 8:24].std()) for seed in range(40)]
    assert min(spreads) < 0.1 < max(spreads)


def test_grayscale_is_the_real_one():
    images = pictures(16, 16)
    seen = VIEWS["grayscale"](images, np.random.default_rng(0))
    levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    real = np.stack([np.array(Image.fromarray(image).convert("L").convert("RGB")) for image in levels])
    assert np.abs(seen.permute(0, 2, 3, 1).numpy() * 255 - real).max() < 0.51


def test_one_of_the_views_or_none_each_as_likely():
    images = pictures(8, 8)
    assert random_view((), images, 0) is images
    unchanged = sum(random_view(("grayscale", "flip", "jpeg"), images, seed) is images for seed in range(400))
    assert 70 < unchanged < 130


def test_an_unknown_view_lists_the_choices():
    assert parse_views("crop,jpeg") == ("crop", "jpeg")
    assert parse_views("none") == ()
    with pytest.raises(UserError, match="unknown view 'blur': choose among crop, flip, grayscale, jpeg, resize"):
        parse_views("crop,blur")
