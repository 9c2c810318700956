"""Guards: checks that object, in a line with the numbers, where results do not support a claim of protection."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Any

from ue_ray.evaluation.measures import (
    Estimate,
    Run,
    SetSummary,
    SummaryRow,
    chance_of,
    chance_percent,
    levels,
    mean_curve,
    percent,
    summarise,
)
from ue_ray.evaluation.recipes import RECIPES

Guard = dict[str, str]

HOLDS = 0.10  # protection holds if the protected victim ends at least this far below the clean victim
AS_WELL = 0.05  # random noise protects as well if its victim ends within this of the protected victim
EARLY = 0.05  # early stopping helps the taker if the peak is this far above the final accuracy
RISING = 0.02  # a victim is still improving if its curve gained more than this over its last quarter
ABOVE_CHANCE = 0.20  # a clean victim has learned too little if it ends nearer to chance than this, or than half-way up
FITTED = 0.90  # a clean victim may have more to learn if its train accuracy is below this
HALF_LEVEL = 0.5 / 255 + 1e-6  # what rounding to 8 bits may add to a change
FEW_MISSING = 0.01  # with more clean images than this unprotected, the smaller set may lower the accuracy by itself
FEW_SHARED = 0.01  # with more test images than this among the training images, the accuracy is not one of new images
FEW_TEST_IMAGES = 500


def find_guards(results: Mapping[str, Any]) -> list[Guard]:
    """Returns all objections to ``results``, in a fixed order: the name, level (warning or note) and message of each.

    Victims are judged by their mean over seeds, and protection by the balanced accuracy. Whether the protection holds
    is judged for each countermeasure, all else only without a countermeasure, if there are such victims. A message
    names the victim and the countermeasure.
    """
    data = results["data"]
    only = partly_protected(data)
    rows = summarise(results["runs"])
    plain = [row for row in rows if row.countermeasure == "none"] or rows
    return [
        *(guard for row in plain for guard in _clean_victim(row, data["clean"]["classes"])),
        *_delta(data["protected"]),
        *(_some_classes(only, data["clean"]["classes"]) if only else _all_classes(rows, plain)),
        *_alignment(data["protected"], clean_images=data["clean"]["images"]),
        *_test_images(
            [summary.seeds for row in rows for summary in row.sets.values()],
            data["test"]["images"],
            data["test"]["in_clean"],
        ),
    ]


def partly_protected(data: Mapping[str, Any]) -> list[str]:
    """Returns the classes that are protected, where it is only some of the clean ones. ``data``: of results.json."""
    only = data["protected"].get("only") or []
    return list(only) if set(data["clean"]["class_names"]) - set(only) else []


def _all_classes(rows: Sequence[SummaryRow], plain: Sequence[SummaryRow]) -> Iterator[Guard]:
    """What accuracies say of the protection: nothing, where only some classes are protected."""
    yield from (guard for row in plain for guard in _control(row))
    yield from (guard for row in rows for guard in _protection(row))
    yield from (guard for row in plain for guard in _peak(row))


def _some_classes(only: Sequence[str], classes: int) -> Iterator[Guard]:
    yield _note(
        "partly_protected",
        f"{len(only):,} of {classes:,} classes are protected; accuracies are of all classes, so the verdict goes by "
        "the informedness of those",
    )


def find_experiment_guards(
    runs: Mapping[str, Sequence[Run]], clean: Collection[str], classes: int, test_images: int, in_train: int
) -> list[Guard]:
    """Returns all objections to an experiment of the paper: those of ``find_guards`` that do not need a single claim.

    ``runs``: by the labels of arms; ``clean``: the labels of those trained and tested on clean images; ``in_train``:
    the number of ``test_images`` that are training images too.
    """
    return [
        *(guard for label in clean for guard in _under_trained(label, SetSummary.of(runs[label]), classes)),
        *_test_images([len(seeds) for seeds in runs.values()], test_images, in_train),
    ]


def _clean_victim(row: SummaryRow, classes: int) -> Iterator[Guard]:
    if clean := row.sets.get("clean"):
        yield from _under_trained(row.label, clean, classes)
    else:
        message = f"{row.label}: no victim was trained on the clean images, so there is nothing to compare with"
        yield _warning("no_clean_victim", message)


def _under_trained(label: str, clean: SetSummary, classes: int) -> Iterator[Guard]:
    """Judges by both accuracies: where classes differ in size, the largest alone can make one of them high."""
    chance = chance_of(clean.runs)
    if learnt_too_little(clean, classes):
        yield _warning(
            "clean_near_chance",
            f"{label}: trained on the clean images it reaches only {_both(clean)} "
            f"(chance is {chance_percent(chance)} %): too weak a victim to show protection",
        )
    fast = RECIPES["fast"]
    if all(run.get("recipe") == "fast" and run["epochs"] >= fast.epochs for run in clean.runs):
        return  # one cycle rises until its learning rate is zero
    test = [value for _, value in mean_curve(clean.runs, "test_accuracy")]
    train = [value for _, value in mean_curve(clean.runs, "train_accuracy")]
    if _rise(test, start=chance) > RISING:
        gained, what = _rise(test, start=chance), "clean test accuracy"
    elif clean.train.mean < FITTED and _rise(train, start=chance) > RISING:
        gained, what = _rise(train, start=chance), f"train accuracy, at {percent(clean.train.mean)} %,"
    else:
        return
    yield _warning(
        "clean_still_improving",
        f"{label}: still improving on the clean images: train longer "
        f"({what} gained {percent(gained)} points over its last quarter)",
    )


def learnt_too_little(clean: SetSummary, classes: int) -> bool:
    """Returns whether victims trained on clean images are too weak to show protection."""
    return _near(clean.final.mean, chance_of(clean.runs)) or _near(clean.balanced.mean, 1 / classes)


def _near(accuracy: float, chance: float) -> bool:
    return accuracy < chance + min(ABOVE_CHANCE, (1 - chance) / 2)


def _both(summary: SetSummary) -> str:
    """The final accuracy and, where it is another, the balanced one."""
    balanced = "" if str(summary.balanced) == str(summary.final) else f", balanced {percent(summary.balanced.mean)} %"
    return f"{percent(summary.final.mean)} %{balanced}"


def _rise(curve: Sequence[float], start: float) -> float:
    """Returns the last value less the mean of the quarter before it; a curve of a single epoch rose from ``start``."""
    if not curve:
        return 0.0
    quarter = max(1, len(curve) // 4)
    return curve[-1] - fmean(curve[-1 - quarter : -1] or [start])


def _gap(higher: Estimate, lower: Estimate) -> float:
    return round(higher.mean - lower.mean, 9)  # so that 0.20 is 0.05 above 0.15


def _delta(protected: Mapping[str, Any]) -> Iterator[Guard]:
    largest, epsilon = protected.get("max_abs_delta"), protected.get("epsilon")
    if protected.get("norm") == "unbounded":
        yield _note(
            "no_control", "the change has no bound, so there is no random noise of the same budget to compare with"
        )
    if largest is None:
        return
    if largest == 0:
        yield _warning("delta_zero", "the protected images are identical to the clean ones")
    elif epsilon is not None and protected.get("norm") == "linf" and largest > epsilon + HALF_LEVEL:
        message = f"budget broken: the largest change is {levels(largest)}, epsilon is {levels(epsilon)}"
        yield _warning("budget_broken", message)


def _control(row: SummaryRow) -> Iterator[Guard]:
    clean, control, protected = (row.sets.get(name) for name in ("clean", "control", "protected"))
    if clean is None or control is None or protected is None:
        return
    if _gap(clean.balanced, protected.balanced) >= HOLDS and _gap(control.balanced, protected.balanced) <= AS_WELL:
        yield _warning(
            "control_protects",
            f"{row.label}: random noise protects as well: the claim is not about the method (control "
            f"{_both(control)}, protected {_both(protected)})",
        )


def _protection(row: SummaryRow) -> Iterator[Guard]:
    clean, protected = row.sets.get("clean"), row.sets.get("protected")
    if clean is None or protected is None:
        return
    if _gap(clean.balanced, protected.balanced) < HOLDS:
        yield _warning(
            "protection_fails",
            f"{row.label}: protection does not hold: {_both(protected)} when trained on the protected images, "
            f"{_both(clean)} on the clean ones",
        )


def _peak(row: SummaryRow) -> Iterator[Guard]:
    protected = row.sets.get("protected")
    if protected is not None and _gap(protected.peak, protected.final) > EARLY:
        yield _note(
            "early_stopping",
            f"{row.label}: early stopping would give the taker {percent(protected.peak.mean)} % (peak, epoch "
            f"{protected.peak_epochs}) in place of {percent(protected.final.mean)} % (final): until it has learnt the "
            "noise, a victim learns from the images",
        )


def _alignment(protected: Mapping[str, Any], clean_images: int) -> Iterator[Guard]:
    missing = protected.get("missing") or 0
    if resized := protected.get("resized"):
        yield _warning(
            "resized", f"{resized:,} protected images have another size than their clean twins: their change is unknown"
        )
    if protected.get("aligned") == 0:
        yield _warning("unaligned", "the clean and protected sets share no sample_id: delta could not be measured")
    elif missing:
        share = missing / clean_images
        message = f"{missing:,} of {clean_images:,} clean images ({100 * share:.2g} %) have no protected twin"
        yield (_warning if share > FEW_MISSING else _note)("partly_aligned", message)


def _test_images(seeds: Collection[int], test_images: int, in_train: int) -> Iterator[Guard]:
    if in_train:
        share = f"{in_train:,} of {test_images:,} test images"
        message = f"{share} are clean training images too (equal pixels): test on images of their own"
        yield (_warning if in_train > FEW_SHARED * test_images else _note)("test_in_training", message)
    if 1 in seeds:
        yield _note("single_seed", "one seed: the spread between runs is unknown")
    if 0 < test_images < FEW_TEST_IMAGES:
        half_width = 1.96 * sqrt(0.25 / test_images)
        message = (
            f"only {test_images} test images: an accuracy is known to ±{percent(half_width)} points at worst (95 %)"
        )
        yield _note("few_test_images", message)


def _warning(name: str, message: str) -> Guard:
    return {"name": name, "level": "warning", "message": message}


def _note(name: str, message: str) -> Guard:
    return {"name": name, "level": "note", "message": message}
