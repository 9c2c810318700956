"""A linear loss, worked by hand: loss = sum_i w . (x_i + delta_i), so every gradient is w."""

import pytest
import torch

from ue_ray.noise.budget import Budget
from ue_ray.noise.pgd import penalised, pgd

WEIGHTS = torch.tensor([3.0, -0.5, 0.0, 1e-3]).view(1, 1, 2, 2)


def loss(delta):
    return (WEIGHTS * delta).sum()


@pytest.mark.parametrize(("steps", "moved"), [(1, 0.01), (2, 0.02), (3, 0.025), (10, 0.025)])
def test_linf_moves_against_the_sign_by_a_step_and_stops_at_the_budget(steps, moved):
    delta = pgd(loss, torch.zeros(2, 1, 2, 2), Budget(0.025), step_size=0.01, steps=steps)
    expected = torch.tensor([-moved, moved, 0.0, -moved]).view(1, 1, 2, 2).expand(2, -1, -1, -1)
    torch.testing.assert_close(delta, expected)


def test_maximise_moves_the_other_way():
    smaller = pgd(loss, torch.zeros(1, 1, 2, 2), Budget(0.1), 0.01, 3)
    larger = pgd(loss, torch.zeros(1, 1, 2, 2), Budget(0.1), 0.01, 3, maximise=True)
    torch.testing.assert_close(larger, -smaller)
    assert loss(smaller) < 0 < loss(larger)


def test_l2_moves_along_the_unit_gradient():
    delta = pgd(loss, torch.zeros(1, 1, 2, 2), Budget(0.015, "l2"), step_size=0.01, steps=1)
    torch.testing.assert_close(delta, -0.01 * WEIGHTS / WEIGHTS.norm())
    at_the_bound = pgd(loss, torch.zeros(1, 1, 2, 2), Budget(0.015, "l2"), step_size=0.01, steps=5)
    torch.testing.assert_close(at_the_bound, -0.015 * WEIGHTS / WEIGHTS.norm())


def test_a_sample_moves_the_same_in_any_batch():
    weights = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    start = torch.zeros(5, 1, 2, 2)
    together = pgd(lambda d: (weights * d).square().add(weights * d).sum(), start, Budget(0.1), 0.03, 4)
    alone = [
        pgd(lambda d, w=weights[i : i + 1]: (w * d).square().add(w * d).sum(), start[i : i + 1], Budget(0.1), 0.03, 4)
        for i in range(5)
    ]
    assert torch.equal(together, torch.cat(alone))


def test_the_penalty_holds_delta_where_the_loss_gains_less_than_it_costs():
    """Without a bound the minimum of |d|^2 + w . d is at -w / 2; here the largest weight is held by the budget."""
    delta = penalised(loss, torch.zeros(2, 1, 2, 2), Budget(0.4), step_size=0.02, steps=400)
    expected = torch.tensor([-0.4, 0.25, 0.0, -0.0005]).view(1, 1, 2, 2).expand(2, -1, -1, -1)
    torch.testing.assert_close(delta, expected, atol=2e-3, rtol=0)
