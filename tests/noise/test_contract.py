"""What holds for every method at every granularity, under every budget: one table, one set of tests."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.device import COMPUTE
from tests.digits import digit_blocks
from ue_ray.errors import UserError, option_names
from ue_ray.images.codec import decode, encode
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import NoiseOptions
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas
from ue_ray.noise.delta_file import whole
from ue_ray.noise.methods import METHODS, new_method, noise_config, open_noise

SIDE = 16
BUDGETS = [Budget(8 / 255), Budget(0.6, "l2")]
OWN = [(name, "class-wise", METHODS[name].budget) for name in METHODS if METHODS[name].budget]
TABLE = [
    (method, granularity, schedule)
    for method in METHODS
    if METHODS[method].budget is None
    for granularity in METHODS[method].granularities
    for schedule in (
        ("online", "alternating") if (method, granularity) == ("error-minimizing", "sample-wise") else ("online",)
    )
]


def config_for(method, granularity, schedule, budget, **changes):
    """A small noise; of ``changes``, and of the values that make it small, those that the method has as options."""
    values = {
        "pgd_steps": 2, "weight_steps": 2, "max_rounds": 2, "data_fraction": 1.0, "step_size": budget.epsilon / 2,
        "batch_size": 32, "views": (), "surrogate": "resnet9",
    }  # fmt: skip
    if (granularity, schedule) == ("sample-wise", "alternating"):
        values["schedule"] = schedule
    has = [*option_names(NoiseOptions), *option_names(METHODS[method].Options)]
    noise = {"method": method, "granularity": granularity}
    if METHODS[method].budget is None:
        noise |= {"epsilon": budget.epsilon, "norm": budget.norm, "canvas": SIDE}
    given = {name: value for name, value in {**noise, **values, **changes}.items() if name in has}
    return noise_config(given, [str(digit) for digit in range(10)], images=40, side=SIDE)


@pytest.fixture(scope="module")
def blocks():
    return digit_blocks(per_class=4, side=SIDE)


def craft(config, blocks):
    deltas = ReplicatedDeltas(10, config.canvas, config.budget, COMPUTE.device)
    windows = Windows(blocks, config.options.get("batch_size", 32), COMPUTE)
    return new_method(config, COMPUTE).craft(windows, deltas)


def all_rows(blocks):
    found = list(blocks())
    order = np.argsort(np.concatenate([block.positions for block in found]))
    images = np.concatenate([block.rows.images for block in found])[order]
    labels = np.concatenate([block.rows.labels for block in found])[order]
    sample_ids = np.array([sample_id for block in found for sample_id in block.rows.sample_ids])[order].tolist()
    return images, labels, sample_ids


def batch_of(images, labels, sample_ids):
    """What ``Noise.perturb`` takes."""
    return COMPUTE.images(torch.from_numpy(images)), torch.from_numpy(labels), sample_ids


ADDED_CASES = [(*row, budget) for budget in BUDGETS for row in TABLE]
OWN_CASES = [(method, granularity, "online", budget) for method, granularity, budget in OWN]


@pytest.fixture(scope="module", params=ADDED_CASES + OWN_CASES, ids=lambda case: "-".join([case[3].norm, *case[:3]]))
def case(request, blocks):
    config = config_for(*request.param)
    return config, craft(config, blocks)


def test_the_decoded_output_is_within_the_budget_and_signed(case, blocks):
    config, artifact = case
    images, labels, sample_ids = all_rows(blocks)
    noise = open_noise(artifact, COMPUTE)
    bright = np.full_like(images, 128)  # mid-gray takes both signs without clipping
    for base in (images, bright):
        originals = list(base)
        protected = noise.protect(originals, labels, sample_ids)
        decoded = np.stack([decode(encode(image)).rgb for image in protected])
        change = torch.from_numpy(decoded.astype(np.int16) - np.stack(originals))
        assert config.budget.size(change).max() <= config.budget.epsilon + 1e-9
        assert change.abs().max() > 0
    if METHODS[config.method].budget is None:
        assert change.min() < 0 < change.max()


def test_an_images_delta_does_not_depend_on_its_batch(case, blocks):
    _, artifact = case
    images, labels, sample_ids = all_rows(blocks)
    noise = open_noise(artifact, COMPUTE)
    whole = noise.perturb(*batch_of(images, labels, sample_ids))
    order = np.random.default_rng(0).permutation(len(labels))
    for size in (1, 7, 32, 40):
        parts = []
        for start in range(0, len(labels) if size > 1 else 3, size):
            rows = order[start : start + size]
            parts.append(noise.perturb(*batch_of(images[rows], labels[rows], [sample_ids[row] for row in rows])))
        split = torch.cat(parts)
        assert torch.equal(split, whole[order[: len(split)]])


def test_the_artifact_survives_saving(case, blocks, tmp_path):
    config, artifact = case
    artifact.save(str(tmp_path))
    loaded = NoiseArtifact.load(str(tmp_path))
    assert loaded.config == config
    assert loaded.record == artifact.record
    batch = batch_of(*all_rows(blocks))
    assert torch.equal(open_noise(loaded, COMPUTE).perturb(*batch), open_noise(artifact, COMPUTE).perturb(*batch))


def test_the_same_seed_gives_the_same_bits(case, blocks):
    config, artifact = case
    again = craft(config, blocks)
    assert again.tensors.keys() == artifact.tensors.keys()
    assert (again.deltas is None) == (artifact.deltas is None)
    if artifact.deltas is not None:
        assert torch.equal(whole(again.deltas), whole(artifact.deltas))
    for name, value in artifact.tensors.items():
        assert torch.equal(again.tensors[name], value), name
    batch = batch_of(*all_rows(blocks))
    first = open_noise(artifact, COMPUTE).perturb(*batch)
    assert torch.equal(open_noise(again, COMPUTE).perturb(*batch), first)
    other = open_noise(craft(dataclasses.replace(config, seed=1), blocks), COMPUTE).perturb(*batch)
    assert not torch.equal(other, first)


def test_a_run_that_stops_at_the_bound_says_so(case):
    config, artifact = case
    if "max_rounds" not in config.options:
        assert artifact.record["stopped_by"] in ("nothing to optimise", "every image counted")
    else:
        assert artifact.record["stopped_by"] in (
            "round limit",
            "error below 0.01",
            "error below 0.1",
            "error above 0.8",
        )
        assert 0 <= artifact.record["error"] <= 1
        assert len(artifact.record["rounds"]) <= config.options["max_rounds"]


@pytest.mark.parametrize(("method", "granularity", "schedule"), TABLE)
def test_a_patch_covers_a_square_at_a_place_of_the_samples_own(method, granularity, schedule, blocks):
    config = config_for(method, granularity, schedule, Budget(8 / 255), patch=8, canvas=8)
    artifact = craft(config, blocks)
    _, labels, sample_ids = all_rows(blocks)
    noise = open_noise(artifact, COMPUTE)
    photos = [np.full((40, 60, 3), 100, np.uint8)] * 5
    changed = [photo != 100 for photo in noise.protect(photos, labels[:5], sample_ids[:5])]
    places = set()
    for change in changed:
        rows, columns = np.flatnonzero(change.any((1, 2))), np.flatnonzero(change.any((0, 2)))
        assert 10 <= np.ptp(rows) + 1 <= 20  # half of each side, less what is zero at its edges
        assert 15 <= np.ptp(columns) + 1 <= 30
        places.add((rows[0], columns[0]))
    assert len(places) > 2
    again = noise.protect(photos[:1], labels[:1], sample_ids[:1])
    np.testing.assert_array_equal(again[0] != 100, changed[0])


@pytest.mark.parametrize(("method", "granularity", "schedule"), TABLE)
def test_a_smaller_canvas_gives_a_smooth_delta_of_the_images_size(method, granularity, schedule, blocks):
    config = config_for(method, granularity, schedule, Budget(8 / 255), canvas=4, views=("grayscale", "resize"))
    artifact = craft(config, blocks)
    restored = open_noise(artifact, COMPUTE)
    images, labels, sample_ids = all_rows(blocks)
    delta = restored.perturb(*batch_of(images[:5], labels[:5], sample_ids[:5]))
    assert delta.shape == (5, 3, 4, 4)
    photo = np.full((37, 53, 3), 128, np.uint8)  # of its own size and shape
    (protected,) = restored.protect([photo], labels[:1], sample_ids[:1])
    change = protected.astype(np.int16) - photo
    assert protected.shape == photo.shape
    assert 0 < np.abs(change).max() <= 8
    assert np.abs(np.diff(change, axis=0)).max() <= 4  # neighbours are close: low frequencies only


@pytest.mark.parametrize("schedule", ["online", "alternating"])
def test_the_penalised_loss_gives_another_and_smaller_delta(schedule, blocks):
    """A step lets a clean gradient fill the budget; the penalty asks whether it was worth it (Eq. 5)."""
    deltas = {}
    for solver in ("pgd", "l-bfgs"):
        config = config_for(
            "error-minimizing", "sample-wise", schedule, Budget(32 / 255), solver=solver, pgd_steps=8, step_size=8 / 255
        )
        deltas[solver] = open_noise(craft(config, blocks), COMPUTE).perturb(*batch_of(*all_rows(blocks)))
    assert 0 < deltas["l-bfgs"].square().mean() < 0.8 * deltas["pgd"].square().mean()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"solver": "newton"}, "unknown solver 'newton': choose one of pgd, l-bfgs"),
        ({"solver": "l-bfgs", "granularity": "class-wise"}, "is for error-minimizing noise, sample-wise"),
    ],
)
def test_a_solver_that_does_not_fit_is_refused(changes, said):
    with pytest.raises(UserError, match=said):
        config_for(
            **{
                "method": "error-minimizing",
                "granularity": "sample-wise",
                "schedule": "online",
                "budget": BUDGETS[0],
                **changes,
            }
        )


def test_an_alternating_artifact_names_the_sample_it_does_not_know(blocks):
    config = config_for("error-minimizing", "sample-wise", "alternating", Budget(8 / 255), max_rounds=1)
    noise = open_noise(craft(config, blocks), COMPUTE)
    images, labels, _ = all_rows(blocks)
    with pytest.raises(UserError, match="no delta for sample unknown"):
        noise.perturb(*batch_of(images[:1], labels[:1], ["unknown"]))


def test_class_wise_gives_a_class_one_delta_and_sample_wise_each_sample_its_own(blocks):
    images, labels, sample_ids = all_rows(blocks)
    for method, granularity, schedule in TABLE:
        # Two steps of pil hardly look at the image.
        config = config_for(method, granularity, schedule, Budget(8 / 255), pgd_steps=4)
        restored = open_noise(craft(config, blocks), COMPUTE)
        delta = restored.perturb(*batch_of(images, labels, sample_ids))
        of_class = delta[torch.from_numpy(labels) == 3]
        assert len(of_class.flatten(1).unique(dim=0)) == (1 if granularity == "class-wise" else len(of_class))
