"""TAP: the surrogate, which knows the clean digits, takes each protected digit for the next one."""

import pytest
import torch

from tests.device import COMPUTE
from tests.digits import digit_blocks
from tests.noise.test_contract import all_rows, batch_of, config_for, craft
from ue_ray.learning.steps import frozen
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.surrogate import Surrogate
from ue_ray.noise.methods import METHODS, noise_config, open_noise


@pytest.mark.parametrize("method", ["tap", "error-maximizing"])
def test_the_surrogate_sees_the_next_class_in_the_protected_images(method):
    blocks = digit_blocks(per_class=8, side=16)
    config = config_for(
        method, "sample-wise", "online", Budget(64 / 255), pgd_steps=20, step_size=8 / 255, max_rounds=12, batch_size=16
    )
    artifact = craft(config, blocks)
    images, labels, sample_ids = all_rows(blocks)
    seen, labels, _ = batch_of(images, labels, sample_ids)
    delta = open_noise(artifact, COMPUTE).perturb(seen, labels, sample_ids).to(seen.device)
    surrogate = Surrogate(config, METHODS[method].Options(**config.options), COMPUTE)
    surrogate.load(artifact.tensors)
    with frozen(surrogate.network), torch.no_grad():
        clean, protected = surrogate.network(seen).argmax(1).cpu(), surrogate.network(seen + delta).argmax(1).cpu()
    assert (clean == labels).float().mean() > 0.8
    taken = (protected == (labels + 1) % 10).float().mean()
    assert taken > 0.6 if method == "tap" else taken < 0.3, float(taken)


def test_the_papers_values_are_the_defaults():
    given = {"method": "tap", "granularity": "sample-wise", "epsilon": 8 / 255}
    options = noise_config(given, ["a", "b"], images=1000, side=32).options
    assert (options["pgd_steps"], options["step_size"]) == (250, pytest.approx(0.4 / 255))
    assert options["views"] == ("crop", "flip")
