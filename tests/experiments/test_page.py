"""The page of an experiment: whole, escaped, self-contained, its arms grouped to be compared."""

import json

import pytest

from tests.pages import NASTY, Page
from ue_ray.experiments import EXPERIMENTS, SCALES
from ue_ray.experiments.page import COLOURS, MOST_LINES, compared, experiment_page, grouped, tones
from ue_ray.experiments.report import markdown


def run(final, seed=0, classes=2, **more):
    curve = [{"epoch": k, "test_accuracy": value} for k, value in ((1, final / 2), (2, final))]
    return {
        "final_test_accuracy": final, "balanced_test_accuracy": final, "chance": 0.5,
        "peak_test_accuracy": final, "peak_epoch": 2, "curve": curve, "seed": seed,
        "confusion": [[3] * classes] * classes, **more,
    }  # fmt: skip


def verification(auc):
    roc = [(0.0, 0.0), (0.0, auc), (1.0, 1.0)]
    found = {"recognised": 0.7, "pairs": 600, "auc": auc, "accuracy": 0.9, "spread": 0.02, "roc": roc}
    return {"protected": found, "everybody": found}


def results(runs, **changes):
    made = {
        "experiment": "faces", "figure": "Figures 4 and 7", "accuracies": "Accuracy on clean test images",
        "class_names": ["ann", "bob"], "guards": [], "paper": {"clean": 94.95}, "runs": runs,
        "claims": [{"text": "this", "holds": True}, {"text": f"that {NASTY}", "holds": False}],
        "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 23.4, "gpus": []}, "versions": {"ue_ray": "0.1.0"},
        "command": f"reproduce_paper --note {NASTY}", "seconds": 1834.2, "images": {"train": 4000, "test": 1000},
        "config": {"experiment": "faces", "output": "out", "data": NASTY, "epsilon": "8/255", "class_map": None},
    }  # fmt: skip
    return json.loads(json.dumps(made | changes))  # as it comes back from results.json


def test_the_page_is_whole_escaped_and_self_contained():
    runs = {"clean": [run(0.9), run(0.8, 1)], NASTY: [run(0.3, verification=verification(0.7))]}
    page = Page(experiment_page(results(runs)))
    page.check_self_contained()
    for words in (
        "1 of 2 orderings that the paper states show here.", "faces: Figures 4 and 7", "85.0 ± 7.1", "94.95", NASTY,
        "showsthis", f"does notthat {NASTY}", "chance, 50 %", "0.700", "90.0 ± 2.0", "4,000 training images",
            "epsilon 8/255",
        "1,834 seconds", "annbob",
    ):  # fmt: skip
        assert words in page.words
    assert "class map" not in page.words
    assert page.all("polyline", "class") == ["clean", "clean seed", "clean seed", "arm1", "arm1", "arm1"]
    assert page.all("polyline", "points")[-1] == "44.0,290.0 44.0,110.8 628.0,34.0 628.0,34.0"  # 290 - 256 * 0.7


def test_scripts_in_names_uris_and_commands_are_escaped():
    def nasty(name):
        return f"</style><script>{name}</script>"

    runs = {nasty("arm"): [run(0.3, verification={nasty("group"): verification(0.7)["everybody"]})]}
    made = results(runs, experiment=nasty("experiment"), figure=nasty("figure"), command=nasty("command"))
    made["class_names"] = [nasty("one class"), nasty("other class")]
    made["config"] |= {"data": nasty("uri"), "labels": nasty("labels")}
    made["claims"][0]["text"] = nasty("claim")
    names = ("arm", "group", "experiment", "figure", "command", "one class", "other class", "uri", "labels", "claim")
    Page(experiment_page(made)).check_escaped(*map(nasty, names))


def test_page_refers_to_nothing_outside_itself():
    page = Page(experiment_page(results({"clean": [run(0.9, verification=verification(0.7))]})))
    page.check_self_contained()
    page.check_policy()


def test_a_joined_set_has_classes_of_its_own():
    page = Page(experiment_page(results({"clean": [run(0.9)], "joined": [run(0.3, classes=3)]})))
    assert "joined01203331333" in page.words
    assert "Verification" not in page.words


@pytest.mark.parametrize("older", ["class_names", "accuracies"])
def test_older_results_are_shown_too(older):
    made = results({"clean": [run(0.9, confusion=None)]})
    del made[older]
    assert "Confusion" not in Page(experiment_page(made)).words


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "board"])  # which has a page of its own
def test_the_arms_of_every_experiment_fit_their_charts(name, scale):
    labels = [arm.label for arm in EXPERIMENTS[name].arms(SCALES[scale])]
    groups = grouped(labels, name)
    assert sorted(label for of in groups.values() for label in of) == sorted(labels)
    for of in compared(groups, labels).values():
        assert len(of) <= MOST_LINES
        assert len(set(tones(of).values())) == len(of)


def test_what_is_to_be_compared_is_in_one_chart():
    assert grouped(["clean", "a", "b"], "patches") == {"patches": ["clean", "a", "b"]}
    networks = [f"{name}, {network}" for network in ("x", "y", "z") for name in ("clean", "class-wise", "sample-wise")]
    assert {title: len(of) for title, of in grouped(networks, "datasets").items()} == {"x": 3, "y": 3, "z": 3}
    shares = ["clean", *(f"{form} {share} %" for form in ("class-wise", "sample-wise") for share in range(20, 101, 20))]
    charts = compared(grouped(shares, "percentages"), shares)
    assert list(charts) == ["class-wise", "sample-wise"]
    assert charts["class-wise"][:2] == ["clean", "class-wise 20 %"]
    unlike = [chr(ord("a") + k) for k in range(MOST_LINES + 1)]
    assert grouped(unlike, "odd") == {"odd, 1": unlike[:MOST_LINES], "odd, 2": unlike[MOST_LINES:]}


def test_clean_has_a_colour_of_its_own():
    assert tones(["a", "clean, x", "clean, y"]) == {"a": "arm1", "clean, x": "clean", "clean, y": "arm2"}
    assert set(tones(map(str, range(2 * COLOURS))).values()) == {f"arm{k + 1}" for k in range(COLOURS)}


def test_markdown_has_verification_where_there_is_some():
    chosen = EXPERIMENTS["faces"]
    runs = {arm.label: [run(0.5, verification=verification(0.75))] for arm in chosen.arms(SCALES["small"])}
    page = markdown("faces", chosen, runs, [], [], "on this machine")
    assert "| some people protected | everybody | 70.0 | 600 | 0.750 | 90.0 ± 2.0 |" in page
    assert "Verification" not in markdown("faces", chosen, {"clean": [run(0.5)]}, [], [], "on this machine")
