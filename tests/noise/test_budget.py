import pytest
import torch

from ue_ray.errors import UserError
from ue_ray.noise.budget import Budget, parse_epsilon


def test_epsilon_is_a_fraction_or_a_decimal():
    assert parse_epsilon("8/255") == 8 / 255
    assert parse_epsilon("0.8/255") == 0.8 / 255
    assert parse_epsilon("0.05") == 0.05


@pytest.mark.parametrize("text", ["eight", "8/0", "-8/255", "0", "", "nan", "inf", "8/255/2"])
def test_other_epsilons_are_refused_in_one_line(text):
    with pytest.raises(UserError) as caught:
        parse_epsilon(text)
    assert "8/255" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("epsilon", "norm"), [(8.0, "linf"), (0.5 / 255, "linf"), (0.1, "l1"), (0, "l0"), (1.5, "l0"), (0.5, "unbounded")]
)
def test_budgets_that_make_no_sense_are_refused(epsilon, norm):
    with pytest.raises(UserError):
        Budget(epsilon, norm)


def changed(budget, images, delta):
    """By how many levels each uint8 image is changed: int16."""
    moved = budget.apply(images.numpy(), budget.round(delta).numpy())
    return torch.from_numpy(moved).to(torch.int16) - images


@pytest.mark.parametrize("epsilon", [8 / 255, 16 / 255, 7.5 / 255, 1 / 255, 0.1])
def test_linf_holds_on_the_rounded_image(epsilon):
    budget = Budget(epsilon)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 9, 9), dtype=torch.uint8, generator=generator)
    delta = (torch.rand(20, 3, 9, 9, generator=generator) - 0.5) * 4 * epsilon
    change = changed(budget, images, delta)
    assert change.min() < 0 < change.max()  # delta is signed
    assert budget.size(change).max() <= epsilon + 1e-9
    assert budget.holds(float(budget.size(change).max()))


@pytest.mark.parametrize("epsilon", [0.25, 0.5, 2.0])
def test_l2_holds_on_the_rounded_image_and_uses_most_of_the_budget(epsilon):
    budget = Budget(epsilon, "l2")
    images = torch.full((10, 3, 16, 16), 128, dtype=torch.uint8)
    delta = torch.randn(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    sizes = budget.size(changed(budget, images, delta))
    assert sizes.max() <= epsilon
    assert sizes.min() > 0.7 * epsilon


def test_rounding_does_not_look_at_the_image():
    budget = Budget(8 / 255)
    delta = (torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)) - 0.5) * 16 / 255
    changes = {
        tuple(changed(budget, torch.full((1, 3, 4, 4), gray, dtype=torch.uint8), delta).flatten().tolist())
        for gray in (20, 100, 200)
    }
    assert len(changes) == 1


def test_projection_leaves_what_is_inside_alone():
    inside = torch.tensor([0.01, -0.02]).view(1, 1, 1, 2)
    assert torch.equal(Budget(8 / 255).project(inside), inside)
    assert torch.equal(Budget(0.1, "l2").project(inside), inside)


def test_l0_counts_pixels_and_keeps_those_that_change_most():
    budget = Budget(2, "l0")
    delta = torch.zeros(1, 3, 4, 4)
    delta[0, 0, 1, 2], delta[0, 2, 3, 3], delta[0, :, 0, 0] = -0.9, 0.5, 0.1
    kept = budget.project(delta)
    assert kept.abs().amax(1).nonzero().tolist() == [[0, 1, 2], [0, 3, 3]]
    assert kept[0, 0, 1, 2] == delta[0, 0, 1, 2]
    change = budget.round(delta).permute(0, 2, 3, 1)
    assert change.min() == -230  # -0.9 x 255
    assert budget.size(change).tolist() == [2]
    assert budget.holds(2)
    assert not budget.holds(3)
    assert (budget.size_text(1), budget.size_text(3), str(budget)) == ("1 pixel", "3 pixels", "2 pixels (l0)")


def test_what_is_unbounded_is_measured_by_its_largest_change_and_called_so():
    budget = Budget(1, "unbounded")
    delta = torch.tensor([0.9, -1.0]).view(1, 1, 1, 2)
    assert torch.equal(budget.project(delta), delta)
    assert budget.size(budget.round(delta)).tolist() == [1.0]
    assert budget.holds(1.0)
    assert str(budget) == "unbounded"
    assert str(Budget(8 / 255)) == "8/255 (linf)"
