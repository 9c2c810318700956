"""COIN: displaced pixels, against SciPy's figures."""

import torch
from torch import nn

from tests.device import COMPUTE
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.countermeasures.coin import displaced


def test_each_pixel_is_taken_from_where_its_offset_points():
    image = torch.tensor([[0, 10, 20], [30, 40, 50], [60, 70, 80.0]]).expand(1, 3, 3, 3).to(COMPUTE.device)
    rows = torch.tensor([[0.5, -0.25, 0], [1.5, -1.5, 0], [0, 2, 0.75]])
    columns = torch.tensor([[0, 0.5, -0.5], [0.25, 1, 1], [0, -1.5, 0]])
    moved = displaced(image, torch.stack([rows, columns]).unsqueeze(1).to(COMPUTE.device))
    # scipy.ndimage.map_coordinates(image, [row + rows, column + columns], order=1, mode="wrap")
    golden = torch.tensor([[15.0, 67.5, 15.0], [17.5, 65.0, 40.0], [60.0, 15.0, 42.5]])
    torch.testing.assert_close(moved.cpu(), golden.expand(1, 3, 3, 3))


def test_no_offset_changes_nothing():
    image = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(displaced(image, torch.zeros(2, 2, 5, 7)), image)


def test_a_ramp_is_moved_by_up_to_two_pixels_alike_in_all_channels():
    ramp = (torch.arange(64.0) / 64).expand(4, 3, 64, 64).contiguous().to(COMPUTE.device)
    moved, _ = parse("coin").augment(ramp, torch.ones(4, 1), nn.Identity(), torch.Generator().manual_seed(0))
    assert torch.equal(moved, moved[:, :1].expand(-1, 3, -1, -1))
    change = ((moved - ramp) * 64)[:, 0, :, 2:-2].cpu()
    assert 1.9 < change.abs().max() <= 2.001
    assert abs(change.mean()) < 0.05
    torch.testing.assert_close(change.std(), torch.tensor(4 / 12**0.5), rtol=0.05, atol=0)
