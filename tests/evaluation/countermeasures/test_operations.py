"""Each operation against torchvision's, or against what its docstring says."""

import pytest
import torch
from torchvision.transforms import functional as vision

from tests.device import COMPUTE
from ue_ray.evaluation.countermeasures import operations

LEVELS = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LEVELS[1] //= 4
LEVELS[2, 0] = 7
IMAGES = (LEVELS / 255).to(COMPUTE.device)


def changed(operation, strength, images=IMAGES):
    return operation(images, torch.full((len(images), 1, 1, 1), strength, device=COMPUTE.device)).cpu()


@pytest.mark.parametrize(
    ("operation", "strength", "expected"),
    [
        (operations.brightness, 0.25, lambda images: vision.adjust_brightness(images, 0.55)),
        (operations.contrast, 0.25, lambda images: vision.adjust_contrast(images, 0.55)),
        (operations.solarize, 0.4, lambda images: vision.solarize(images, 0.4)),
        (operations.autocontrast, 0.5, vision.autocontrast),
        (operations.posterize, 0.1, lambda images: vision.posterize(LEVELS, 1) / 255),
        (operations.posterize, 0.6, lambda images: vision.posterize(LEVELS, 3) / 255),
        (operations.posterize, 1.0, lambda images: vision.posterize(LEVELS, 4) / 255),
        (operations.equalize, 0.5, lambda images: vision.equalize(LEVELS) / 255),
    ],
)
def test_an_operation_is_torchvision_s(operation, strength, expected):
    torch.testing.assert_close(changed(operation, strength), expected(LEVELS / 255), rtol=0, atol=1e-4)


def test_sharpness_is_torchvision_s_but_for_the_edge():
    found, expected = changed(operations.sharpness, 0.75), vision.adjust_sharpness(LEVELS / 255, 1.45)
    torch.testing.assert_close(found.clamp(0, 1)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], rtol=0, atol=1e-5)


def test_rotation_and_shearing_move_pixels_as_torchvision_does():
    bilinear = vision.InterpolationMode.BILINEAR
    turned = vision.rotate(LEVELS / 255, -15, bilinear)
    torch.testing.assert_close(changed(operations.rotation, 0.25), turned, rtol=0, atol=1e-4)
    angle = torch.rad2deg(torch.tensor(0.3).atan()).item()
    for operation, shear in ((operations.shear_rows, [angle, 0]), (operations.shear_columns, [0, angle])):
        expected = vision.affine(LEVELS / 255, 0, [0, 0], 1, shear, bilinear)
        torch.testing.assert_close(changed(operation, 1.0), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["translate_sideways", "translate_upright"])
def test_translation_moves_by_up_to_half_the_side(name):
    moved = changed(getattr(operations, name), 1.0)
    images = LEVELS / 255
    if name == "translate_upright":
        moved, images = moved.transpose(2, 3), images.transpose(2, 3)
    torch.testing.assert_close(moved[..., :8], images[..., 8:], rtol=0, atol=1e-5)
    assert (moved[..., 8:] == 0).all()
