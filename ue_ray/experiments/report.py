"""An experiment's outcome beside the paper's figures: a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from ue_ray.evaluation.measures import VERIFICATION_HEADING, Estimate, Runs, span, verification_rows, verified
from ue_ray.experiments.base import DOES_NOT, SHOWS, WITHIN, Claim, Experiment, Result

HEADING = ("trained on", "final", "balanced", "peak", "at epoch", "the paper")
_MARKS = {SHOWS: SHOWS, DOES_NOT: f"**{DOES_NOT}**", WITHIN: WITHIN}


def markdown(
    name: str,
    experiment: Experiment,
    runs: Runs,
    claims: Sequence[Claim],
    guards: Sequence[Mapping[str, str]],
    how: str,
) -> str:
    """``runs``: by the arms' labels, one entry a seed. ``guards``: objections; ``how``: what it was made with."""
    lines = [
        f"# {name}: {experiment.figure}",
        "",
        f"{experiment.accuracies} in per cent, after the last epoch (balanced: the mean over classes) and at the "
        "best one.",
        "",
        *_table(HEADING, outcome(runs, experiment.paper)),
    ]
    if rows := verification_rows(runs):
        what = "Recognition, the mean over people, and verification of pairs of test images (its ±: over ten folds):"
        lines += ["", what, ""]
        lines += _table(VERIFICATION_HEADING, rows)
    lines += ["", "What must show:", ""]
    lines += [f"- {_MARKS[claim.answer]}: {claim.text}" for claim in claims]
    if guards:
        lines += ["", "Objections:", "", *(f"- {guard['level']}: {guard['message']}" for guard in guards)]
    return "\n".join([*lines, "", how, ""])


def outcome(runs: Runs, paper: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Of each arm as under ``HEADING``, in per cent; empty where the paper has no figure."""
    rows = []
    for label, entries in runs.items():
        kinds = ("final", "balanced", "peak")
        accuracies = [str(Estimate.of([run[f"{kind}_test_accuracy"] for run in entries])) for kind in kinds]
        epochs = span(run["peak_epoch"] for run in entries)
        rows.append((label, *accuracies, epochs, f"{paper[label]:.2f}" if label in paper else ""))
    return rows


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (heading, ["---"] * len(heading), *rows)]


def summarised(entries: Sequence[Mapping[str, Any]]) -> Result:
    """The means over an arm's seeds, and each seed alone where there are several."""
    recalls = [
        [row[k] / max(1, sum(row)) for k, row in enumerate(run["confusion"])] for run in entries if run["confusion"]
    ]
    return Result(
        auc={people: fmean(each["auc"] for each in kept) for people, kept in verified(entries).items()},
        final=fmean(run["final_test_accuracy"] for run in entries),
        peak=fmean(run["peak_test_accuracy"] for run in entries),
        recall=[fmean(shares) for shares in zip(*recalls, strict=True)],
        seeds=[summarised([run]) for run in entries] if len(entries) > 1 else (),
    )
