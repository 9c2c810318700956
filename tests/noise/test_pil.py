"""PIL: a step is the loss's gradient by hand; the linear classifier reads the label in the noise, not in the image."""

import numpy as np
import torch

from tests.device import COMPUTE
from tests.digits import digit_blocks
from tests.noise.test_contract import all_rows, batch_of, config_for, craft
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.surrogate import Surrogate
from ue_ray.noise.methods import METHODS, open_noise

BUDGET = Budget(48 / 255)


def linear_config(**changes):
    return config_for("pil", "sample-wise", "online", BUDGET, **{"surrogate": "linear", "batch_size": 16, **changes})


def test_the_first_step_is_the_gradient_by_hand():
    config = linear_config(pgd_steps=1)
    method = METHODS["pil"](config, COMPUTE)
    surrogate = Surrogate(config, method.options, COMPUTE)
    chance = np.random.default_rng(0)
    images, labels = chance.uniform(0, 1, (4, 3, 16, 16)), np.array([3, 1, 4, 1])
    weights = (
        surrogate.network.network[1].weight.detach().cpu().double().numpy()
    )  # [10,3,32,32], a pixel is 2x2 of them
    pixel = 4 * weights.reshape(10, 3, 16, 2, 16, 2).sum((3, 5))  # images are seen in [-2, 2]
    logits = np.einsum("ncij,kcij->nk", images - 0.5, pixel)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gradient = np.einsum("nk,kcij->ncij", 0.9 * (np.eye(10)[labels] - 0.1) + 0.1 * (chances - 0.1), pixel)
    moved, _ = method.mover(surrogate)(
        torch.tensor(images, dtype=torch.float32, device=COMPUTE.device),
        torch.zeros(4, 3, 16, 16, device=COMPUTE.device),
        torch.from_numpy(labels).to(COMPUTE.device),
        0,
    )
    clear = np.abs(gradient) > 0.01 * np.abs(gradient).max()  # bfloat16 may turn the sign of the others
    np.testing.assert_allclose(moved.cpu().numpy()[clear], -config.options["step_size"] * np.sign(gradient)[clear])


def test_turned_round_the_noise_is_the_label_and_the_image_is_not():
    blocks = digit_blocks(per_class=8, side=16)
    config = linear_config(pgd_steps=30, step_size=BUDGET.epsilon / 10, max_rounds=10)
    artifact = craft(config, blocks)
    images, labels, sample_ids = all_rows(blocks)
    seen, labels, _ = batch_of(images, labels, sample_ids)
    delta = open_noise(artifact, COMPUTE).perturb(seen, labels, sample_ids).to(seen.device)
    surrogate = Surrogate(config, METHODS["pil"].Options(**config.options), COMPUTE)
    surrogate.load(artifact.tensors)
    with torch.no_grad():
        clean, alone, protected = (surrogate.logits(x).cpu() for x in (seen, 0.5 - delta, seen + delta))
    assert (clean.argmax(1) == labels).float().mean() > 0.8
    assert (alone.argmax(1) == labels).float().mean() > 0.95
    assert (protected.argmax(1) == labels).float().mean() < 0.4
