"""Guards: checks that object, in a line with the numbers, where results do not support a claim of protection."""

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Any

from ue_ray.evaluation.measures import Estimate, SummaryRow, levels, mean_curve, percent, summarise

Guard = dict[str, str]

HOLDS = 0.10  # protection holds if the protected victim ends at least this far below the clean victim
AS_WELL = 0.05  # random noise protects as well if its victim ends within this of the protected victim
EARLY = 0.05  # early stopping helps the taker if the peak is this far above the final accuracy
RISING = 0.02  # a victim is still improving if its curve gained more than this over its last quarter
ABOVE_CHANCE = 0.20  # a clean victim has learned too little if it ends nearer to chance than this
FITTED = 0.90  # a clean victim may have more to learn if its train accuracy is below this
HALF_LEVEL = 0.5 / 255 + 1e-6  # what rounding to 8 bits may add to a change
FEW_MISSING = 0.01  # with more clean images than this unprotected, the smaller set may lower the accuracy by itself
FEW_TEST_IMAGES = 500


def find_guards(results: Mapping[str, Any]) -> list[Guard]:
    """Returns all objections to ``results``, in a fixed order: the name, level (warning or note) and message of each.

    Victims are judged by their mean over seeds. Whether the protection holds is judged for each countermeasure, all
    else only without a countermeasure, if there are such victims. A message names the victim and the countermeasure.
    """
    data = results["data"]
    rows = summarise(results["runs"])
    plain = [row for row in rows if row.countermeasure == "none"] or rows
    return [
        *(guard for row in plain for guard in _clean_victim(row, chance=1 / data["clean"]["classes"])),
        *_delta(data["protected"]),
        *(guard for row in plain for guard in _control(row)),
        *(guard for row in rows for guard in _protection(row)),
        *(guard for row in plain for guard in _peak(row)),
        *_alignment(data["protected"], clean_images=data["clean"]["images"]),
        *_sample_size(rows, test_images=data["test"]["images"]),
    ]


def _clean_victim(row: SummaryRow, chance: float) -> Iterator[Guard]:
    clean = row.sets.get("clean")
    if clean is None:
        message = f"{row.label}: no victim was trained on the clean images, so there is nothing to compare with"
        yield _warning("no_clean_victim", message)
        return
    if clean.final.mean < chance + ABOVE_CHANCE:
        yield _warning(
            "clean_near_chance",
            f"{row.label}: trained on the clean images it reaches only {percent(clean.final.mean)} % "
            f"(chance is {100 * chance:.3g} %): too weak a victim to show protection",
        )
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
        f"{row.label}: still improving on the clean images: train longer "
        f"({what} gained {percent(gained)} points over its last quarter)",
    )


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
    if _gap(clean.final, protected.final) >= HOLDS and _gap(control.final, protected.final) <= AS_WELL:
        yield _warning(
            "control_protects",
            f"{row.label}: random noise protects as well: the claim is not about the method (control "
            f"{percent(control.final.mean)} %, protected {percent(protected.final.mean)} %)",
        )


def _protection(row: SummaryRow) -> Iterator[Guard]:
    clean, protected = row.sets.get("clean"), row.sets.get("protected")
    if clean is None or protected is None:
        return
    if _gap(clean.final, protected.final) < HOLDS:
        yield _warning(
            "protection_fails",
            f"{row.label}: protection does not hold: {percent(protected.final.mean)} % when trained on the protected "
            f"images, {percent(clean.final.mean)} % on the clean ones",
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
    if protected.get("aligned") == 0:
        yield _warning("unaligned", "the clean and protected sets share no sample_id: delta could not be measured")
    elif missing:
        share = missing / clean_images
        message = f"{missing:,} of {clean_images:,} clean images ({100 * share:.2g} %) have no protected twin"
        yield (_warning if share > FEW_MISSING else _note)("partly_aligned", message)


def _sample_size(rows: Sequence[SummaryRow], test_images: int) -> Iterator[Guard]:
    if any(summary.seeds == 1 for row in rows for summary in row.sets.values()):
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
