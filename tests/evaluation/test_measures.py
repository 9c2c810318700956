"""Sums over seeds, by hand."""

import pytest

from ue_ray.evaluation.measures import Estimate, mean_roc, span, summed_confusion, verification_rows


def test_how_numbers_are_written() -> None:
    assert (str(Estimate(0.1038, None)), str(Estimate(0.1038, 0.006))) == ("10.4", "10.4 ± 0.6")
    assert (Estimate(0.1038, None).unscaled, Estimate(0.9, 0.006).unscaled) == ("0.104", "0.900 ± 0.006")
    assert (span([3, 3]), span(iter([5, 2, 4]))) == ("3", "2-5")


def test_confusion_is_summed_where_it_was_kept() -> None:
    runs = [{"confusion": [[1, 2], [3, 4]]}, {"confusion": None}, {}, {"confusion": [[10, 0], [0, 10]]}]
    assert summed_confusion(runs) == [[11, 2], [3, 14]]
    assert summed_confusion([{}, {"confusion": None}]) == []


def test_mean_roc_is_taken_at_each_false_positive_rate() -> None:
    straight, bent = [(0.0, 0.0), (1.0, 1.0)], [(0.0, 0.0), (0.0, 0.6), (0.5, 1.0), (1.0, 1.0)]
    assert mean_roc([bent]) == bent
    assert mean_roc([straight, bent]) == [(0, 0), (0, pytest.approx(0.3)), (0.5, pytest.approx(0.75)), (1, 1)]


def test_verification_by_arm_and_group() -> None:
    def run(auc: float, spread: float) -> dict[str, object]:
        figures = {"recognised": auc / 2, "pairs": 6000, "auc": auc, "accuracy": auc, "spread": spread}
        return {"verification": {"everybody": figures}}

    rows = verification_rows({"clean": [run(0.9, 0.01), run(0.8, 0.03)], "plain": [{}]})
    assert rows == [("clean", "everybody", "42.5 ± 3.5", "6,000", "0.850 ± 0.071", "85.0 ± 2.0")]
