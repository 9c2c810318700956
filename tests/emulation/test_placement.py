"""On a device that is not the CPU: every tensor of a step is made there, and the host does not wait for it."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.digits import digit_blocks
from tests.emulation.device import COMPUTE, ELSEWHERE, emulation
from tests.evaluation.countermeasures.test_contract import TABLE as COUNTERMEASURES
from tests.noise.test_contract import TABLE, all_rows, config_for
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.training import AUGMENTATIONS
from ue_ray.learning.models import MODELS, build
from ue_ray.learning.steps import WeightSteps
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas
from ue_ray.noise.crafting.surrogate import Surrogate
from ue_ray.noise.crafting.views import VIEWS
from ue_ray.noise.methods import METHODS, new_method, open_noise

SIDE = 16
BUDGETS = [Budget(8 / 255), Budget(0.6, "l2")]


@pytest.fixture(scope="module")
def blocks():
    return digit_blocks(per_class=2, side=SIDE)


@pytest.fixture(scope="module")
def rows(blocks):
    """Images float32 [20,3,16,16] and labels int64 [20], on the CPU."""
    images, labels, _ = all_rows(blocks)
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255, torch.from_numpy(labels)


@pytest.mark.parametrize("name", MODELS)
def test_a_network_trains_there_without_a_wait(name):
    with emulation() as device:
        steps = WeightSteps(COMPUTE.place(build(name, 10, SIDE)), COMPUTE, 0.1)
        images, labels = torch.rand(2, 3, SIDE, SIDE).to(ELSEWHERE), torch.zeros(2, dtype=torch.int64).to(ELSEWHERE)
        device.waits.clear()
        loss, wrong = steps.step(images, labels, 2)
        assert {loss.device, wrong.device} == {ELSEWHERE}
        assert device.waits == []


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: budget.norm)
@pytest.mark.parametrize("view", [*VIEWS, "patch", "l-bfgs"])
def test_a_pgd_step_waits_for_nothing(view, budget, rows):
    changes = {"patch": {"patch": 8, "canvas": 8}, "l-bfgs": {"solver": "l-bfgs"}}.get(view, {"views": (view,)})
    config = config_for("error-minimizing", "sample-wise", "online", budget, pgd_steps=4, **changes)
    with emulation() as device:
        surrogate = Surrogate(config, new_method(config, COMPUTE).options, COMPUTE)
        images, labels = (each.to(ELSEWHERE) for each in rows)
        delta = torch.zeros(len(labels), 3, config.canvas, config.canvas, device=ELSEWHERE)
        surrogate.minimise(images, delta, labels, 0)  # what is made once and kept
        device.waits.clear()
        delta, wrong = surrogate.minimise(images, delta, labels, 1)
        assert delta.device == wrong.device == ELSEWHERE
        assert device.waits == []


# The table of alternating is the CPU's, and takes what each batch has made.
A_BATCH = {"alternating": 1}
BATCHES, A_ROUND = 3, 2  # at its end, the error and the share of the budget are asked for


@pytest.mark.filterwarnings("ignore:.*non-meta parameter")  # the numbers are copied all the same
@pytest.mark.parametrize("case", TABLE, ids="-".join)
def test_a_noise_is_made_there_and_the_host_waits_at_the_end_of_a_round(case, blocks):
    images, labels, sample_ids = all_rows(blocks)
    changes = {"max_rounds": 2, "batch_size": 7, "weight_steps": 3, "stop_error": 1e-9, "adversary_steps": 2}
    config = config_for(*case, BUDGETS[0], **changes)
    waits = []
    with emulation() as device:

        def report(entry):
            waits.append(list(device.waits))
            device.waits.clear()

        windows = Windows(blocks, config.options.get("batch_size", 7), COMPUTE)
        deltas = ReplicatedDeltas(10, config.canvas, config.budget, ELSEWHERE)
        artifact = new_method(config, COMPUTE).craft(windows, deltas, report)
        protected = open_noise(artifact, COMPUTE).protect(list(images), labels, sample_ids)
    for entry in waits[1::2]:  # a first round begins with a window
        assert len(entry) <= A_ROUND + BATCHES * A_BATCH.get(case[2], 0), entry
    assert bool(waits) == METHODS[case[0]].needs_data
    change = np.stack(protected).astype(int) - images
    assert 0 < np.abs(change).max() <= 8


# These compute on the CPU, image by image, and get and give a batch.
ON_THE_CPU = ("autoaugment", "randaugment", "jpeg-10-after")


@pytest.mark.parametrize("name", COUNTERMEASURES)
def test_a_countermeasure_works_there(name, rows):
    with emulation() as device:
        images, labels = (each.to(ELSEWHERE) for each in rows)
        network = COMPUTE.place(build("resnet9", 10, SIDE))
        targets = functional.one_hot(labels, 10).to(torch.float32)
        countermeasure, generator = parse(name), torch.Generator().manual_seed(0)
        device.waits.clear()
        changed, mixed = countermeasure.augment(images, targets, network, generator)
        assert changed.device == mixed.device == ELSEWHERE
        assert changed.shape == images.shape
        if not name.startswith("ueraser"):  # it asks which images take which of its operations
            assert len(device.waits) == (2 if name in ON_THE_CPU else 0), device.waits


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_waits_for_nothing(name):
    with emulation() as device:
        pixels = torch.zeros(4, SIDE, SIDE, 3, dtype=torch.uint8, device=ELSEWHERE)
        assert AUGMENTATIONS[name](pixels, torch.Generator().manual_seed(0)).device == ELSEWHERE
        assert device.waits == []
