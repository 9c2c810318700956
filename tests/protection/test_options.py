"""What is given wins; what would be ignored is a mistake."""

from dataclasses import fields

import pytest

from ue_ray.errors import UserError
from ue_ray.noise.methods import METHODS, noise_config
from ue_ray.protection.options import protect_options


def test_what_is_given_wins_over_a_preset_even_where_it_is_the_default():
    options = protect_options({"preset": "photos", "epsilon": "8/255"})
    config = noise_config(options.noise, ["ada", "bob"], images=1000, side=64)
    assert config.budget.epsilon == pytest.approx(8 / 255)
    assert config.options == {"cells": 8, "tint": "opponent"}


def test_none_is_not_given():
    assert protect_options({"views": None, "preset": None}).noise == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epsilom": "8/255"}, r"unknown option 'epsilom': choose one of .* \(did you mean epsilon\?\)"),
        ({"max_rounds": "many"}, "--max-rounds is 'many': expected a whole number"),
        ({"max_rounds": True}, "--max-rounds is True: expected a whole number"),
        ({"stop_error": "0.1"}, "--stop-error is '0.1': expected a number"),
        ({"granularity": "pixel-wise"}, "unknown granularity 'pixel-wise': choose one of class-wise, sample-wise"),
        ({"mode": "append"}, "unknown mode 'append': choose one of refuse, resume, overwrite"),
        ({"strength": "high"}, "--strength goes with --preset"),
        ({"class_map": "map.json"}, "--class-map goes with --artifact"),
        ({"method": "random", "views": "crop"}, "--views is no option of method random; it has none of its own"),
        (
            {"method": "error-maximizing", "solver": "pgd"},
            "--solver is no option of method error-maximizing; it has --",
        ),
        ({"method": "random", "compile": True}, "--compile is for crafting: method random crafts nothing"),
        ({"solver": "l-bfgs"}, "--solver l-bfgs is for error-minimizing noise, sample-wise"),
        ({"granularity": "sample-wise", "delta_table": "auto"}, "--delta-table is for class-wise deltas"),
        ({"method": "ops", "epsilon": "8/255"}, "--epsilon does not go with method ops, whose budget is its own"),
        ({"method": "ops", "compile": True}, "--compile is for crafting on a network: method ops has none"),
        ({"method": "cuda", "num_workers": 2}, "--num-workers is for crafting: method cuda crafts nothing"),
        ({"artifact": "a", "epsilon": "8/255"}, "--epsilon does not go with --artifact"),
        ({"artifact": "a", "strength": "low", "preset": "photos"}, "--strength does not go with --artifact"),
        ({"artifact": "a", "precision": "float32"}, "--precision does not go with --artifact"),
        ({"num_workers": 2, "min_workers": 3}, "--min-workers is 3: it must be from 1 to --num-workers"),
    ],
)
def test_a_mistake_is_named(given, said):
    with pytest.raises(UserError, match=said):
        protect_options(given)


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_options_have_help(method):
    assert all(entry.metadata["help"] for entry in fields(METHODS[method].Options))
