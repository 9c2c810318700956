"""SEM and REM: the adversary stays in its own budget, attacks where it is asked to, and is the same for any batch."""

import pytest
import torch
from torch.nn import functional

from tests.device import COMPUTE
from tests.digits import digit_blocks
from tests.noise.test_contract import all_rows, batch_of, config_for, craft
from ue_ray.errors import UserError
from ue_ray.learning.steps import frozen
from ue_ray.noise.budget import Budget
from ue_ray.noise.methods import METHODS, noise_config, open_noise
from ue_ray.noise.methods.sem import AttackedSurrogate

BUDGETS = [Budget(16 / 255), Budget(0.6, "l2")]


def surrogate(budget, **changes):
    config = config_for("sem", "sample-wise", "online", budget, **changes)
    return AttackedSurrogate(config, METHODS["sem"].Options(**config.options), COMPUTE)


def some_images():
    images, labels, _ = batch_of(*all_rows(digit_blocks(per_class=2, side=16)))
    return 0.25 + images / 2, labels.to(images.device)  # so that nothing is cut at 0 and 1


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.norm)
@pytest.mark.parametrize("adversary", ["noise", "pgd"])
def test_it_goes_half_as_far_as_delta(budget, adversary):
    attacked = surrogate(budget, adversary=adversary)
    images, labels = some_images()
    with frozen(attacked.network):
        push = (attacked.disturbed(images, labels, 3) - images).detach().cpu()
    size = push.flatten(1).norm(dim=1) if budget.norm == "l2" else push.abs().flatten(1).amax(1)
    torch.testing.assert_close(size, torch.full_like(size, budget.epsilon / 2), rtol=0.02, atol=0)
    if adversary == "noise":
        torch.testing.assert_close(push, push[:1].expand_as(push))


def loss_of(attacked, seen, labels):
    with frozen(attacked.network), torch.no_grad():
        return float(functional.cross_entropy(attacked.logits(seen), labels))


def test_an_attack_raises_the_loss_and_noise_does_not_look_at_the_label():
    attacked = surrogate(Budget(32 / 255))
    images, labels = some_images()
    with frozen(attacked.network):
        noisy, hit = (attacked.attacked(images, labels, 3, steps).detach() for steps in (0, 10))
        other = attacked.attacked(images, (labels + 1) % 10, 3, 0).detach()
    assert torch.equal(noisy, other)
    assert loss_of(attacked, hit, labels) > loss_of(attacked, noisy, labels) + 0.05


def test_the_gradient_passes_the_adversary():
    attacked = surrogate(BUDGETS[0], adversary="pgd")
    images, labels = some_images()
    leaf = images.clone().requires_grad_()
    with frozen(attacked.network):
        (gradient,) = torch.autograd.grad(attacked.disturbed(leaf, labels, 0).sum(), leaf)
    torch.testing.assert_close(gradient, torch.ones_like(gradient))


def test_what_an_adversary_may_do_is_another_noise():
    blocks = digit_blocks(per_class=4, side=16)
    batch = batch_of(*all_rows(blocks))
    deltas = [
        open_noise(craft(config_for("sem", "sample-wise", "online", BUDGETS[0], **given), blocks), COMPUTE).perturb(
            *batch
        )
        for given in ({}, {"adversary": "pgd", "adversary_steps": 2}, {"adversary_epsilon": 2 / 255})
    ]
    assert not torch.equal(deltas[0], deltas[1])
    assert not torch.equal(deltas[0], deltas[2])


def test_a_delta_crafted_under_attack_does_not_depend_on_its_batch():
    blocks = digit_blocks(per_class=4, side=16)
    config = config_for("sem", "sample-wise", "online", BUDGETS[0], adversary="pgd", adversary_steps=2, max_rounds=1)
    images, labels, ids = batch_of(*all_rows(blocks))
    noise = open_noise(craft(config, blocks), COMPUTE)
    whole = noise.perturb(images, labels, ids)
    assert torch.equal(noise.perturb(images[5:8], labels[5:8], ids[5:8]), whole[5:8])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"adversary": "fgsm"}, "unknown adversary 'fgsm': choose one of noise, pgd"),
        ({"adversary_epsilon": "0.1/255"}, "--adversary-epsilon: epsilon .* is below one 8-bit level"),
        ({"adversary_epsilon": "4"}, "--adversary-epsilon: epsilon 4 is more than the whole range"),
        ({"adversary_steps": 0}, "--adversary-steps is 0: it must be at least 1"),
    ],
)
def test_a_mistake_is_named(given, said):
    with pytest.raises(UserError, match=said):
        noise_config({"method": "sem", **given}, ["a", "b"], images=100, side=16)
