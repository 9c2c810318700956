"""What holds for every experiment, before any of it is run."""

import pytest

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures import parse
from ue_ray.experiments import EXPERIMENTS, SCALES, Result, find_experiment
from ue_ray.experiments.base import DOES_NOT, SHOWS, WITHIN, answer_of, judge, lower, weakest
from ue_ray.experiments.outcome import Reproduction
from ue_ray.experiments.report import markdown, summarised
from ue_ray.learning.models import check_model
from ue_ray.noise.methods import noise_config


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_contract(name, scale):
    chosen, sizes = find_experiment(name), SCALES[scale]
    recipes, arms = chosen.recipes(), chosen.arms(sizes)
    for recipe in recipes:
        noise_config(recipe.options, ["ada", "bob"], images=100, side=32)
    assert len({recipe.name for recipe in recipes}) == len(recipes)
    assert len({arm.label for arm in arms}) == len(arms)
    assert {arm.trigger for arm in arms} <= {None, *(recipe.name for recipe in recipes)}
    used = {name for arm in arms for name in arm.mix.needs}
    assert used == {recipe.name for recipe in recipes}
    for arm in arms:
        parse(arm.countermeasure)
        check_model(arm.victim or sizes.victim)
    if scale == "paper":
        assert set(chosen.paper) <= {arm.label for arm in arms}
    if name == "board":  # no paper says what must show
        return
    nothing = chosen.claims({arm.label: Result(0.5, 0.5, [0.5] * 62) for arm in arms})
    assert nothing
    assert not all(claim.answer == SHOWS for claim in nothing), "victims that do not differ show no ordering"


def test_an_unknown_experiment_lists_the_choices():
    with pytest.raises(UserError, match="unknown experiment 'table-1': choose one of noise-types, datasets"):
        find_experiment("table-1")


def run(final, seed=0):
    return {
        "final_test_accuracy": final, "balanced_test_accuracy": final, "peak_test_accuracy": final + 0.1,
        "peak_epoch": 2 + seed,
        "confusion": [[9, 1], [5, 5]], "seed": seed,
    }  # fmt: skip


def test_the_report_stands_beside_the_paper():
    chosen = EXPERIMENTS["noise-types"]
    runs = {arm.label: [run(0.3), run(0.5, 1)] for arm in chosen.arms(SCALES["small"])}
    results = {label: summarised(entries) for label, entries in runs.items()}
    assert results["clean"] == Result(pytest.approx(0.4), pytest.approx(0.5), [pytest.approx(0.9), pytest.approx(0.5)])
    page = markdown("noise-types", chosen, runs, chosen.claims(results), [], "on this machine")
    assert "| clean | 40.0 ± 14.1 | 40.0 ± 14.1 | 50.0 ± 14.1 | 2-3 | 94.95 |" in page
    assert (
        "- **does not**: error-minimizing-sample-wise (40.0 %) is below random-sample-wise (40.0 %) by 20 points"
        in page
    )
    assert page.endswith("on this machine\n")


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.11, SHOWS), (0.09, WITHIN), (0.0, WITHIN), (-0.09, WITHIN), (-0.11, DOES_NOT)]
)
def test_a_margin_smaller_than_the_pooled_deviation_of_the_seeds_decides_nothing(margin, expected):
    # sample deviations 0.1 (0.2, 0.3, 0.4) and 0.1: pooled 0.1
    assert judge(margin, [0.2, 0.3, 0.4], [0.5, 0.6, 0.7]) == expected


def test_one_seed_has_no_spread():
    assert judge(1e-6, [0.3], [0.5]) == SHOWS
    assert judge(-1e-6, [0.3], [0.5, 0.6]) == DOES_NOT


def test_a_claim_of_several_parts_is_answered_by_the_weakest():
    assert weakest(SHOWS, WITHIN) == WITHIN
    assert weakest(WITHIN, DOES_NOT, SHOWS) == DOES_NOT
    assert weakest(SHOWS, SHOWS) == SHOWS


def test_what_is_within_the_spread_is_neither_shown_nor_missed():
    runs = {"clean": [run(0.5), run(0.7)], "low": [run(0.4), run(0.6)]}
    (claim,) = [lower({label: summarised(entries) for label, entries in runs.items()}, "low", "clean")]
    assert claim.answer == WITHIN
    claims = [{"text": claim.text, "answer": claim.answer}, {"text": "no", "answer": DOES_NOT}]
    assert Reproduction({"claims": claims}, "", "").missed == ["no"]


def test_records_from_before_there_was_a_spread_are_read():
    assert [answer_of({"text": "", "holds": holds}) for holds in (True, False)] == [SHOWS, DOES_NOT]
