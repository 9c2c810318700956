"""The emulation itself: numbers are those of the CPU, two devices are refused, waits are found."""

import pytest
import torch
from torch import nn

from tests.emulation.device import ELSEWHERE, WrongDevice, emulation


def trained(device):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    images = torch.rand(5, 3, 6, 6).to(device)
    for _ in range(2):
        optimizer.zero_grad()
        network(images).square().sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return [value.cpu() for value in network.state_dict().values()]


def test_a_network_trains_to_the_same_numbers():
    with emulation():
        there = trained(ELSEWHERE)
        for value, expected in zip(there, trained("cpu"), strict=True):
            assert torch.equal(value, expected)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda there, here: there + here,
        lambda there, here: torch.cat([there, here]),
        lambda there, here: torch.where(there > 0, there, here),
        lambda there, here: here[there.long()],
        lambda there, here: nn.functional.cross_entropy(there.view(1, -1), here.argmax().view(1)),
    ],
)
def test_two_devices_in_one_operation_are_refused(mistake):
    with emulation():
        there, here = torch.ones(4, device=ELSEWHERE), torch.ones(4)
        assert (there + here.sum()).device == ELSEWHERE, "a single number may come from the CPU"
        with pytest.raises(WrongDevice):
            mistake(there, here)


@pytest.mark.parametrize(
    "wait",
    [
        lambda there: there.sum().item(),
        lambda there: float(there[0]),
        lambda there: bool(there.any()),
        lambda there: there.cpu(),
        lambda there: there.nonzero(),
        lambda there: there.unique(),
        lambda there: there[there > 0],
        lambda there: there[torch.tensor([0])],
        lambda there: torch.ones(3).to(there.device),
        lambda there: there.new_tensor([1.0, 2.0]),
        lambda there: there.long().bincount(),
    ],
)
def test_what_makes_the_host_wait_is_found(wait):
    with emulation() as device:
        there = torch.ones(4, device=ELSEWHERE)
        assert not device.waits
        wait(there)
        assert len(device.waits) == 1


def test_what_does_not_wait_is_not():
    with emulation() as device:
        there = torch.ones(4, device=ELSEWHERE)
        torch.ones(4).to(ELSEWHERE, non_blocking=True)
        there[there > 0] = 0.0
        there[torch.zeros(2, dtype=torch.int64, device=ELSEWHERE)] = 2.0
        there.masked_fill_(there > 1, 3.0).clamp(0, 1).sort()
        assert not device.waits
