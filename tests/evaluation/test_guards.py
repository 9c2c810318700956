"""Guards: concrete results in, the objections expected out."""

from collections.abc import Sequence
from typing import Any

import pytest

from ue_ray.evaluation.guards import find_experiment_guards, find_guards

EPSILON = 8 / 255


def run(train_set: str, curve: Sequence[float], train: Sequence[float] | None = None, **changes: Any) -> dict[str, Any]:
    """One run whose test accuracy by epoch is ``curve``; it fits its train set unless ``train`` says otherwise."""
    train = train or [0.99] * len(curve)
    points = [
        {"epoch": i, "test_accuracy": test, "train_accuracy": fit, "train_loss": 0.1, "seconds": 1.0}
        for i, (test, fit) in enumerate(zip(curve, train, strict=True), start=1)
    ]
    return {
        "victim": "resnet18",
        "train_set": train_set,
        "countermeasure": "none",
        "seed": 0,
        "epochs": len(curve),
        "final_test_accuracy": curve[-1],
        "balanced_test_accuracy": curve[-1],
        "chance": 0.1,
        "peak_test_accuracy": max(curve),
        "peak_epoch": curve.index(max(curve)) + 1,
        "recognised_classes": 0,
        "train_accuracy": train[-1],
        "curve": points,
        "seconds": 10.0,
        **changes,
    }


def results(*runs: dict[str, Any], test_images: int = 10_000, in_clean: int = 0, **protected: Any) -> dict[str, Any]:
    """Ten classes, 1,000 clean images, and a protected set in good order unless ``protected`` says otherwise."""
    good = {
        "uri": "protected",
        "images": 1000,
        "method": "error_minimizing",
        "granularity": "class_wise",
        "epsilon": EPSILON,
        "norm": "linf",
        "max_abs_delta": EPSILON,
        "mean_abs_delta": 6 / 255,
        "aligned": 1000,
        "missing": 0,
    }
    return {
        "data": {
            "clean": {"uri": "clean", "images": 1000, "classes": 10, "class_names": []},
            "protected": good | protected,
            "test": {"uri": "test", "images": test_images, "in_clean": in_clean},
            "control": {"noise": "random", "granularity": "sample_wise", "epsilon": EPSILON},
        },
        "runs": list(runs),
    }


def twice(*runs: dict[str, Any]) -> list[dict[str, Any]]:
    return [of | {"seed": seed} for of in runs for seed in (0, 1)]


CLEAN, CONTROL, PROTECTED = run("clean", [0.92] * 8), run("control", [0.91] * 8), run("protected", [0.11] * 8)
SOUND = twice(CLEAN, CONTROL, PROTECTED)


def with_runs(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    return twice(*({"clean": CLEAN, "control": CONTROL, "protected": PROTECTED} | changed).values())


CASES = {
    "sound": (results(*SOUND), []),
    "clean near chance": (
        results(*with_runs(clean=run("clean", [0.29] * 8))),
        [
            (
                "clean_near_chance",
                "warning",
                "resnet18: trained on the clean images it reaches only 29.0 % (chance is 10 %): "
                "too weak a victim to show protection",
            )
        ],
    ),
    "clean test accuracy rising": (
        # the last quarter before the end: (0.70 + 0.72) / 2
        results(*with_runs(clean=run("clean", [0.3, 0.4, 0.5, 0.6, 0.65, 0.70, 0.72, 0.75]))),
        [
            (
                "clean_still_improving",
                "warning",
                "resnet18: still improving on the clean images: train longer "
                "(clean test accuracy gained 4.0 points over its last quarter)",
            )
        ],
    ),
    "clean train accuracy rising": (
        results(*with_runs(clean=run("clean", [0.7] * 4, [0.5, 0.6, 0.7, 0.8]))),
        [
            (
                "clean_still_improving",
                "warning",
                "resnet18: still improving on the clean images: train longer "
                "(train accuracy, at 80.0 %, gained 10.0 points over its last quarter)",
            )
        ],
    ),
    "clean train accuracy rising, but fitted": (
        results(*with_runs(clean=run("clean", [0.7] * 4, [0.7, 0.8, 0.88, 0.92]))),
        [],
    ),
    "one epoch is never settled": (
        results(*with_runs(clean=run("clean", [0.6]))),
        [
            (
                "clean_still_improving",
                "warning",
                "resnet18: still improving on the clean images: train longer "
                "(clean test accuracy gained 50.0 points over its last quarter)",
            )
        ],
    ),
    "no clean victim": (
        results(*twice(PROTECTED)),
        [
            (
                "no_clean_victim",
                "warning",
                "resnet18: no victim was trained on the clean images, so there is nothing to compare with",
            )
        ],
    ),
    "zero delta": (
        results(*SOUND, max_abs_delta=0.0),
        [("delta_zero", "warning", "the protected images are identical to the clean ones")],
    ),
    "rounding is within budget": (results(*SOUND, max_abs_delta=EPSILON + 0.5 / 255), []),
    "budget broken": (
        results(*SOUND, max_abs_delta=9 / 255),
        [("budget_broken", "warning", "budget broken: the largest change is 9/255, epsilon is 8/255")],
    ),
    "no linf budget in another norm": (results(*SOUND, max_abs_delta=9 / 255, norm="l2", epsilon=1.0), []),
    "one pixel may move all the way": (results(*SOUND, max_abs_delta=1.0, norm="l0", epsilon=1), []),
    "no control where there is no bound": (
        results(*SOUND, max_abs_delta=1.0, norm="unbounded", epsilon=1),
        [
            (
                "no_control",
                "note",
                "the change has no bound, so there is no random noise of the same budget to compare with",
            )
        ],
    ),
    "control protects as well": (
        results(*with_runs(control=run("control", [0.15] * 8))),
        [
            (
                "control_protects",
                "warning",
                "resnet18: random noise protects as well: the claim is not about the method "
                "(control 15.0 %, protected 11.0 %)",
            )
        ],
    ),
    "protection fails": (
        results(*with_runs(protected=run("protected", [0.83] * 8))),
        [
            (
                "protection_fails",
                "warning",
                "resnet18: protection does not hold: 83.0 % when trained on the protected images, "
                "92.0 % on the clean ones",
            )
        ],
    ),
    "protection fails under a countermeasure": (
        results(
            *SOUND,
            *twice(CLEAN | {"countermeasure": "jpeg"}, run("protected", [0.91] * 8) | {"countermeasure": "jpeg"}),
        ),
        [
            (
                "protection_fails",
                "warning",
                "resnet18 with jpeg: protection does not hold: 91.0 % when trained on the protected images, "
                "92.0 % on the clean ones",
            )
        ],
    ),
    "only the protection is judged after a countermeasure": (
        results(
            *SOUND,
            *twice(
                *(
                    of | {"countermeasure": "grayscale"}
                    for of in (
                        run("clean", [0.28, 0.40]),  # near chance and rising
                        run("control", [0.2, 0.2]),
                        run("protected", [0.5, 0.2]),  # a peak worth stopping at
                    )
                ),
            ),
        ),
        [],
    ),
    "a countermeasure alone is judged as a victim without one": (
        results(*(of | {"countermeasure": "jpeg-50"} for of in with_runs(clean=run("clean", [0.29] * 8)))),
        [
            (
                "clean_near_chance",
                "warning",
                "resnet18 with jpeg-50: trained on the clean images it reaches only 29.0 % (chance is 10 %): "
                "too weak a victim to show protection",
            )
        ],
    ),
    "peak": (
        results(*with_runs(protected=run("protected", [0.2, 0.38, 0.2, 0.104]))),
        [
            (
                "early_stopping",
                "note",
                "resnet18: early stopping would give the taker 38.0 % (peak, epoch 2) in place of 10.4 % (final): "
                "until it has learnt the noise, a victim learns from the images",
            )
        ],
    ),
    "a few missing": (
        results(*SOUND, aligned=990, missing=10),
        [("partly_aligned", "note", "10 of 1,000 clean images (1 %) have no protected twin")],
    ),
    "many missing": (
        results(*SOUND, aligned=800, missing=200),
        [("partly_aligned", "warning", "200 of 1,000 clean images (20 %) have no protected twin")],
    ),
    "resized": (
        results(*SOUND, resized=7),
        [
            (
                "resized",
                "warning",
                "7 protected images have another size than their clean twins: their change is unknown",
            )
        ],
    ),
    "test images that are trained on": (
        results(*SOUND, in_clean=400),
        [
            (
                "test_in_training",
                "warning",
                "400 of 10,000 test images are clean training images too (equal pixels): test on images of their own",
            )
        ],
    ),
    "unaligned": (
        results(*SOUND, aligned=0, missing=1000, max_abs_delta=None, mean_abs_delta=None),
        [("unaligned", "warning", "the clean and protected sets share no sample_id: delta could not be measured")],
    ),
    "one seed": (
        results(CLEAN, CONTROL, PROTECTED),
        [("single_seed", "note", "one seed: the spread between runs is unknown")],
    ),
    "few test images": (
        # 1.96 * sqrt(0.25 / 400)
        results(*SOUND, test_images=400),
        [("few_test_images", "note", "only 400 test images: an accuracy is known to ±4.9 points at worst (95 %)")],
    ),
    "a foreign protected set": (
        results(
            *SOUND,
            method=None,
            granularity=None,
            epsilon=None,
            norm=None,
            max_abs_delta=9 / 255,
            mean_abs_delta=None,
            aligned=None,
            missing=None,
        ),
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_guards(case: str) -> None:
    given, expected = CASES[case]
    assert [(guard["name"], guard["level"], guard["message"]) for guard in find_guards(given)] == expected


def test_order_is_fixed_and_messages_are_single_lines() -> None:
    given = results(
        run("clean", [0.2, 0.28]),
        run("control", [0.2, 0.2]),
        run("protected", [0.3, 0.15]),
        test_images=100,
        max_abs_delta=0.1,
        missing=1,
    )
    guards = find_guards(given)
    assert [guard["name"] for guard in guards] == [
        "clean_near_chance",
        "clean_still_improving",
        "budget_broken",
        "control_protects",
        "early_stopping",
        "partly_aligned",
        "single_seed",
        "few_test_images",
    ]
    assert not any("\n" in guard["message"] for guard in guards)


def test_seeds_are_averaged() -> None:
    """One seed alone would say that protection fails (0.85 against 0.92); the mean, 0.48, does not."""
    protected = [run("protected", [0.11] * 8, seed=0), run("protected", [0.85] * 8, seed=1)]
    assert find_guards(results(*twice(CLEAN, CONTROL), *protected)) == []


def test_two_classes_can_pass() -> None:
    clean, protected = run("clean", [0.9] * 8, chance=0.5), run("protected", [0.52] * 8, chance=0.5)
    given = results(*with_runs(clean=clean, protected=protected))
    given["data"]["clean"]["classes"] = 2
    assert find_guards(given) == []


def of_two_unequal_classes(clean: float, clean_balanced: float, protected: float, balanced: float) -> dict[str, Any]:
    """950 and 50 test images."""
    reached = {"clean": (clean, clean_balanced), "control": (clean, clean_balanced), "protected": (protected, balanced)}
    runs = {
        name: run(name, [final] * 8, chance=0.95, balanced_test_accuracy=mean)
        for name, (final, mean) in reached.items()
    }
    given = results(*with_runs(**runs))
    given["data"]["clean"]["classes"] = 2
    return given


def test_a_victim_that_always_names_the_larger_class_has_learnt_nothing() -> None:
    (guard,) = find_guards(of_two_unequal_classes(0.95, 0.5, 0.6, 0.3))
    assert guard["name"] == "clean_near_chance"
    assert "only 95.0 %, balanced 50.0 % (chance is 95 %)" in guard["message"]


def test_protection_is_judged_by_the_balanced_accuracy() -> None:
    assert find_guards(of_two_unequal_classes(0.99, 0.93, 0.95, 0.5)) == []
    (guard,) = find_guards(of_two_unequal_classes(0.99, 0.93, 0.85, 0.9))
    assert guard["name"] == "protection_fails"
    assert "85.0 %, balanced 90.0 % when trained on the protected images, 99.0 %, balanced 93.0 %" in guard["message"]


def test_an_experiment_has_the_same_guards() -> None:
    runs = {"clean": [run("clean", [0.1, 0.25])], "noise": [run("noise", [0.1, 0.1])]}
    found = find_experiment_guards(runs, ["clean"], classes=10, test_images=100, in_train=3)
    assert [guard["name"] for guard in found] == [
        "clean_near_chance", "clean_still_improving", "test_in_training", "single_seed", "few_test_images",
    ]  # fmt: skip
    assert found[0]["message"].startswith("clean: trained on the clean images")


@pytest.mark.parametrize(("recipe", "epochs", "said"), [("paper", 12, True), ("fast", 11, True), ("fast", 12, False)])
def test_one_cycle_rises_to_its_end(recipe, epochs, said):
    curve = [0.1 + 0.07 * epoch for epoch in range(epochs)]
    guards = find_guards(results(run("clean", curve, recipe=recipe), run("protected", [0.1] * epochs)))
    assert ("clean_still_improving" in {guard["name"] for guard in guards}) == said
