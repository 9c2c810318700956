import pytest

from ue_ray.errors import UserError
from ue_ray.noise.budget import parse_epsilon
from ue_ray.noise.methods import noise_config
from ue_ray.protection.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_higher_strength_is_a_larger_budget(name):
    budgets = [parse_epsilon(preset(name, strength)["epsilon"]) for strength in ("low", "mid", "high")]
    assert budgets == sorted(set(budgets))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_noise_for_one_class_and_for_many(name):
    for strength in PRESETS[name]:
        for classes in (["ada"], ["ada", "bob"]):
            assert noise_config(preset(name, strength), classes, 60, 224).class_names == tuple(classes)


def test_a_presets_options_cannot_be_changed_by_who_asks():
    preset("photos", "low")["cells"] = 3
    assert preset("photos", "low")["cells"] == 8


def test_what_there_is_not_lists_the_choices():
    with pytest.raises(UserError, match="unknown preset 'faces': choose one of photos"):
        preset("faces", "low")
    with pytest.raises(UserError, match="unknown strength 'max' of preset photos: choose one of low, mid, high"):
        preset("photos", "max")
