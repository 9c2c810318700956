"""The recipes against what torch has, and the whitening layer against its definition."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.device import COMPUTE
from ue_ray.errors import UserError
from ue_ray.evaluation.options import EvaluateOptions
from ue_ray.evaluation.recipes import RECIPES
from ue_ray.evaluation.victim import informedness
from ue_ray.learning.models import MODELS
from ue_ray.learning.models.whitening import filters, victim_network
from ue_ray.learning.steps import WeightSteps


def test_one_cycle_is_torchs():
    """``OneCycleLR`` with straight lines, from and to almost nothing, counts its steps a little differently."""
    weight, steps = torch.nn.Parameter(torch.zeros(1)), 400
    optimizer = torch.optim.SGD([weight], lr=0.12)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        0.12,
        total_steps=steps,
        pct_start=0.25,
        anneal_strategy="linear",
        div_factor=1e9,
        final_div_factor=1e9,
    )
    for step in range(steps):
        ours = RECIPES["fast"].schedule(0.12, 12 * step / steps, 12)
        assert ours == pytest.approx(theirs.get_last_lr()[0], abs=0.12 / 90)
        optimizer.step()
        if step < steps - 1:
            theirs.step()


def test_a_step_with_nesterov_and_smoothing_by_hand():
    """Two steps on one weight matrix, by the formulas of the momentum (Sutskever et al., 2013, as torch has it)."""
    images = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 1])
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3, bias=False))
    weight = network[1].weight.detach().clone().double()
    steps = WeightSteps(COMPUTE.place(network), COMPUTE, 0.1, nesterov=True, label_smoothing=0.1)
    velocity = torch.zeros_like(weight)
    smooth = functional.one_hot(labels, 3) * 0.9 + 0.1 / 3
    for _ in range(2):
        steps.step(
            COMPUTE.images((images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)), labels.to(COMPUTE.device), 4
        )
        flat = ((images * 255).round() / 255).flatten(1).double()
        gradient = (torch.softmax(flat @ weight.T, 1) - smooth).T @ flat / 4 + 5e-4 * weight
        velocity = 0.9 * velocity + gradient
        weight = weight - 0.1 * (gradient + 0.9 * velocity)
    torch.testing.assert_close(network[1].weight.detach().cpu().double(), weight, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize(
    ("given", "images", "expected"),
    [
        ({}, 10_000, ("fast", 12, 0.12, (0, 1, 2))),
        ({}, 10_001, ("fast", 12, 0.12, (0,))),
        ({"recipe": "paper"}, 10, ("paper", 60, 0.025, (0, 1, 2))),
        ({"recipe": "paper", "epochs": 3, "learning_rate": 0.5, "seeds": (7,)}, 10, ("paper", 3, 0.5, (7,))),
    ],
)
def test_what_is_not_given_hangs_on_the_recipe_and_the_number_of_images(given, images, expected):
    options = EvaluateOptions(**given).resolved(images, gpu=False)
    assert (options.recipe, options.epochs, options.learning_rate, options.seeds) == expected
    assert [plan.seed for plan in options.plans] == 2 * list(expected[3])
    assert {plan.recipe for plan in options.plans} == {expected[0]}


@pytest.mark.parametrize(("gpu", "network"), [(False, "resnet9"), (True, "resnet18")])
def test_by_default_a_verdict_rests_on_both_input_layers(gpu, network):
    assert EvaluateOptions().resolved(10, gpu).victims == (network, f"whitened-{network}")
    assert EvaluateOptions(victims=("vgg11",)).resolved(10, gpu).victims == ("vgg11",)


def test_an_unknown_recipe_or_victim_is_named():
    with pytest.raises(UserError, match="unknown recipe 'slow': choose one of fast, paper"):
        EvaluateOptions(recipe="slow")
    with pytest.raises(UserError, match="unknown model 'resnet7'"):
        EvaluateOptions(victims=("whitened-resnet7",))


def test_whitened_patches_have_the_identity_as_second_moment():
    """Of the patches that the filters were made of; directions of less variance than the floor stay smaller."""
    images = np.random.default_rng(0).integers(0, 256, (200, 16, 16, 3), dtype=np.uint8)
    images = (images // 4 + images[:, :1, :1] // 2).astype(np.uint8)  # with a common part, as natural images have
    pixels = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2) / 255 - 0.5
    white = functional.conv2d(pixels, filters(images)).permute(1, 0, 2, 3).flatten(1).double()
    moment = white @ white.T / white.shape[1]
    torch.testing.assert_close(moment, torch.eye(27, dtype=torch.float64), rtol=0, atol=0.2)


def test_filters_are_of_images_from_the_whole_set_and_of_a_bounded_number_of_patches(monkeypatch):
    """2,000 images, class by class: what the second half looks like counts, too."""
    flat = np.full((1000, 16, 16, 3), 128, np.uint8)
    varied = np.random.default_rng(0).integers(0, 256, flat.shape, dtype=np.uint8)
    one, other = (filters(np.concatenate(halves)).flatten(1) for halves in ([flat, varied], [varied, flat]))
    torch.testing.assert_close(one.T @ one, other.T @ other)  # whatever the signs of the directions
    seen = []
    unfold = functional.unfold
    monkeypatch.setattr(functional, "unfold", lambda *args, **kw: seen.append(unfold(*args, **kw)) or seen[-1])
    filters(np.zeros((2, 224, 224, 3), np.uint8))
    assert seen[0].shape[-1] <= 225


@pytest.mark.parametrize("name", MODELS)
def test_every_network_can_stand_behind_the_layer(name):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    network = victim_network(f"whitened-{name}", 5, images).eval()
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 5)
    assert not network.get_buffer("filters").requires_grad


def test_informedness_by_hand():
    swallows = np.array([[10, 0], [10, 0]])  # every image is taken for the first class: it is not known
    assert informedness(swallows).tolist() == [0, 0]
    assert informedness(np.array([[10, 0], [0, 10]])).tolist() == [1, 1]
    found = informedness(np.array([[8, 2, 0], [3, 6, 1], [0, 0, 0]]))  # 8/10 - 3/10; 6/10 - 2/10; no image
    np.testing.assert_allclose(found, [0.5, 0.4, 0])
