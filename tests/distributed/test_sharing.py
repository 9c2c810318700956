"""Experiments that write to one output share their noises and victims. No Ray is started."""

from collections import defaultdict

import pytest

from ue_ray.distributed.reproduce import noise_folder
from ue_ray.distributed.victims.arms import _run
from ue_ray.experiments import EXPERIMENTS, SCALES
from ue_ray.experiments.options import ReproduceOptions

PAPERS = {name: experiment for name, experiment in EXPERIMENTS.items() if name != "board"}
SIDE = 32


class Digests(dict):
    """Of images by name: one each."""

    def __missing__(self, name):
        return f"digest of {name}"


def victims(name, scale):
    options = ReproduceOptions(scale=scale).resolved
    arms = PAPERS[name].arms(options.sizes)
    return {arm.label: _run(arm, seed, options, SIDE, Digests()) for arm in arms for seed in options.seeds[:1]}


def test_a_noise_of_one_name_is_one_noise_in_all_experiments():
    found = defaultdict(list)
    for experiment in PAPERS.values():
        for recipe in experiment.recipes():
            found[noise_folder(recipe, {"clean": "c", "other": "o"})].append(recipe)
    assert all(recipes == recipes[:1] * len(recipes) for recipes in found.values())
    assert max(map(len, found.values())) > 5, "class-wise error-minimizing noise is in most of them"


@pytest.mark.parametrize("scale", SCALES)
def test_the_clean_victim_is_trained_once_for_all_experiments(scale):
    clean = [victims(name, scale)["clean"] for name in ("noise-types", "percentages", "mixtures", "classes")]
    assert clean == clean[:1] * 4
    class_wise = victims("noise-types", scale)["error-minimizing-class-wise"]
    assert class_wise == victims("percentages", scale)["class-wise 100 %"]
    assert class_wise != clean[0]


def test_a_victim_of_another_scale_is_another_victim():
    assert len({victims("mixtures", scale)["clean"].file_name for scale in SCALES}) == len(SCALES)


def test_small_and_medium_noises_are_crafted_alike():
    """So on the same images they are the same noises: an output of both scales is not refused."""
    assert SCALES["small"].surrogate == SCALES["medium"].surrogate
