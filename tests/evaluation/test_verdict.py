"""The verdict, by hand: which figures make which word, and what it names."""

import pytest

from tests.evaluation.report.test_report import results, run
from ue_ray.evaluation.guards import find_guards
from ue_ray.evaluation.verdict import as_lines, verdicts

CLEAN = run("clean", 0.9, 0.9, 2)  # chance is 0.1: a victim could learn 0.8


def protected(final, peak=0.3, informed=0.02, **changes):
    known = {
        "recognised_most": "person 3",
        "recognised_most_informedness": informed,
        "recognised_classes": int(informed > 0.3),
    }
    values = [0.0, 0.0, 0.0, informed, *[0.0] * 6]
    return run("protected", final, peak, 1, informedness=values, **known, **changes)


def judged(runs):
    found = results(runs)
    found["data"]["clean"]["class_names"] = [f"person {number}" for number in range(10)]
    return found


@pytest.mark.parametrize(
    ("seeds", "word"),
    [
        ([protected(0.10), protected(0.25)], "protects"),  # 0.1 + 0.2 * 0.8 = 0.26
        ([protected(0.10), protected(0.27)], "weak"),
        ([protected(0.10), protected(0.10, peak=0.49)], "protects"),  # 0.1 + 0.5 * 0.8 = 0.5
        ([protected(0.10), protected(0.10, peak=0.51)], "weak"),
        ([protected(0.10), protected(0.12, informed=0.51)], "weak"),  # a mean of 12 % that hides a class
        ([protected(0.10), protected(0.49)], "weak"),
        ([protected(0.10), protected(0.51)], "does not protect"),
        ([protected(0.10), run("protected", 0.10, 0.3, 1, victim="vgg11")], "protects"),
    ],
)
def test_the_worst_victim_decides(seeds, word):
    others = [run("clean", 0.9, 0.9, 2, victim="vgg11")] if any(each["victim"] == "vgg11" for each in seeds) else []
    (verdict,) = verdicts(judged([CLEAN, *others, *seeds]))
    assert verdict.word == word


def test_a_bound_that_is_just_met_holds():
    """0.1 + 0.2 * 0.35 = 0.17, though not in binary."""
    (verdict,) = verdicts(judged([run("clean", 0.45, 0.45, 1), protected(0.17, peak=0.2)]))
    assert verdict.word == "protects"


def test_each_countermeasure_has_its_own_verdict():
    gray = {"countermeasure": "grayscale"}
    found = verdicts(judged([CLEAN, protected(0.1), run("clean", 0.8, 0.8, 2, **gray), protected(0.7, **gray)]))
    assert [(each.countermeasure, each.word) for each in found] == [
        ("none", "protects"),
        ("grayscale", "does not protect"),
    ]


def some_of(informed, clean=0.8, **changes):
    """Results of which person 0 and person 3 are protected; the others are known, and so is the accuracy high."""
    clean_run = run("clean", 0.9, 0.9, 2, informedness=[clean] * 10)
    values = [0.85] * 10
    values[0], values[3] = informed
    found = judged([clean_run, run("protected", 0.8, 0.85, 2, **({"informedness": values} | changes))])
    found["data"]["protected"]["only"] = ["person 0", "person 3"]
    found["data"]["test"]["in_clean"] = 0
    return found


@pytest.mark.parametrize(
    ("informed", "word"),
    [
        ((0.02, 0.04), "protects"),
        ((0.16, 0.16), "protects"),  # 0.2 * 0.8
        ((0.17, 0.17), "weak"),
        ((-0.3, 0.55), "weak"),  # a mean of 0.13 that hides a person
        ((0.4, 0.4), "weak"),
        ((0.4, 0.42), "does not protect"),
    ],
)
def test_where_some_classes_are_protected_they_decide(informed, word):
    (verdict,) = verdicts(some_of(informed))
    assert verdict.word == word
    mean = sum(informed) / 2
    assert f"the 2 protected classes of 10 with a mean informedness of {mean:.2f} (clean 0.80" in verdict.sentence
    assert "of the protected classes" in as_lines(some_of(informed))[-1]
    (guard,) = (each for each in find_guards(some_of(informed)) if each["name"] == "partly_protected")
    assert guard["message"].startswith("2 of 10 classes are protected; accuracies are of all classes")


def test_where_clean_images_teach_nothing_of_them_nothing_is_judged():
    assert [each.word for each in verdicts(some_of((0.0, 0.0), clean=0.2))] == ["not judged"]
    (verdict,) = verdicts(some_of((0.0, 0.0), informedness=None))
    assert (verdict.word, verdict.sentence) == ("not judged", "of 10 classes each class's informedness is not kept")


def test_where_all_classes_of_the_clean_images_are_protected_accuracies_decide():
    found = judged([CLEAN, protected(0.1)])
    found["data"]["protected"]["only"] = [f"person {number}" for number in range(12)]
    assert [each.word for each in verdicts(found)] == ["protects"]


@pytest.mark.parametrize("clean", [0.1, 0.2])
def test_a_victim_that_learns_little_from_clean_images_proves_nothing(clean):
    (verdict,) = verdicts(judged([run("clean", clean, clean, 1), protected(0.1, peak=0.1)]))
    assert verdict.word == "does not protect"


def test_the_recognised_classes_are_named_and_a_missing_input_layer():
    (verdict,) = verdicts(judged([CLEAN, protected(0.2, informed=0.96)]))
    assert "recognised: person 3 (most: person 3 at 0.96)" in verdict.sentence
    assert "add whitened-resnet9 to --victims" in verdict.sentence
    both = [run("clean", 0.9, 0.9, 2, victim="whitened-resnet9"), protected(0.1, victim="whitened-resnet9")]
    (verdict,) = verdicts(judged([CLEAN, protected(0.2), *both]))
    assert "no class is recognised" in verdict.sentence
    assert "input layer" not in verdict.sentence
