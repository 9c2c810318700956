"""UEraser: its clouds against Kornia's, its choice against the losses."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.device import COMPUTE
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.countermeasures.plasma import plasma
from ue_ray.evaluation.countermeasures.ueraser import erased

KORNIA = """
0.000000 0.425633 0.221040 0.610881 0.236068
0.182922 0.478659 0.384697 0.645873 0.512433
0.348362 0.643144 0.427051 0.260154 0.505740
0.412585 0.697586 0.518602 0.364800 0.658764
0.618034 0.814137 0.633062 0.416052 0.854102
"""  # kornia 0.9.0: diamond_square((1, 1, 5, 5), torch.tensor([0.5]), random_fn=golden)


def golden(shape):
    """Draws that are the same everywhere: fractions of the multiples of the golden ratio. Kornia turns the corners."""
    draws = (torch.arange(math.prod(shape)) * 0.618033988749895 % 1).view(shape).to(torch.float32)
    return draws.transpose(1, 2) if shape[-1] == 2 else draws


def batch(count=64):
    images = torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(0)).to(COMPUTE.device)
    return images, functional.one_hot(torch.arange(count) % 10, 10).to(COMPUTE.device, torch.float32)


def test_a_cloud_is_kornia_s():
    expected = torch.tensor([[float(value) for value in line.split()] for line in KORNIA.split("\n")[1:-1]])
    torch.testing.assert_close(plasma(5, torch.tensor([0.5]), golden)[0], expected, rtol=0, atol=2e-6)
    assert torch.equal(plasma(4, torch.tensor([0.5]), golden)[0], plasma(5, torch.tensor([0.5]), golden)[0, :4, :4])


def test_clouds_are_in_range_around_a_half_and_rougher_where_asked():
    own = torch.Generator().manual_seed(0)
    clouds = plasma(32, torch.tensor([0.3, 0.7]).repeat(100), lambda shape: torch.rand(shape, generator=own))
    assert clouds.min() >= 0
    assert clouds.max() <= 1
    assert abs(clouds.mean() - 0.5) < 0.02
    smooth, rough = (clouds[start::2].diff(dim=-1).abs().mean() for start in (0, 1))
    assert rough > 2 * smooth


def test_each_image_is_changed_by_itself_and_no_class_leaves_the_range():
    images, _ = batch()
    changed = erased(images, torch.Generator(COMPUTE.device).manual_seed(0))
    assert changed.min() >= 0
    assert changed.max() <= 1
    change = (changed - images).abs().mean((1, 2, 3))
    assert change.max() > 0.3
    assert (change == change[0]).sum() < 5


class Brightness(nn.Module):
    """Takes dark images for class 0, bright ones for class 1."""

    def forward(self, images):
        light = images.mean((1, 2, 3))
        return torch.stack([-9 * light, 9 * light], 1)


def test_max_takes_of_five_draws_the_one_of_the_largest_loss():
    images, _ = batch(200)
    targets = torch.tensor([0.0, 1.0]).expand(200, 2).to(COMPUTE.device)  # the darkest has the largest loss
    light = {}
    for name in ("ueraser-lite", "ueraser-max"):
        changed, labels = parse(name).augment(images, targets, Brightness(), torch.Generator().manual_seed(0))
        light[name] = changed.mean((1, 2, 3)).cpu()
        assert torch.equal(labels, targets)
    assert light["ueraser-max"].mean() < light["ueraser-lite"].mean() - 0.1
    own = torch.Generator(COMPUTE.device)
    seed = int(torch.randint(1 << 62, (), generator=torch.Generator().manual_seed(0)))
    own.manual_seed(seed)
    draws = torch.stack([erased(images, own) for _ in range(5)]).mean((2, 3, 4)).cpu()
    torch.testing.assert_close(light["ueraser-max"], draws.amin(0))


@pytest.mark.parametrize(("progress", "same"), [(0.0, "ueraser-max"), (0.29, "ueraser-max"), (0.3, "ueraser-lite")])
def test_ueraser_searches_in_the_first_epochs(progress, same):
    images, targets = batch(16)
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(10)).to(COMPUTE.device)
    network(images)
    for name in ("ueraser", "cutout+ueraser"):
        countermeasure, expected = parse(name), parse(name.replace("ueraser", same))
        countermeasure.progress = progress
        found, _ = countermeasure.augment(images, targets, network, torch.Generator().manual_seed(0))
        assert torch.equal(found, expected.augment(images, targets, network, torch.Generator().manual_seed(0))[0])
