"""An experiment's outcome beside the paper's figures: a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ue_ray.experiments.base import Claim, Experiment, Result
from ue_ray.report import Estimate


def markdown(
    name: str,
    experiment: Experiment,
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    claims: Sequence[Claim],
    how: str,
) -> str:
    """``runs``: by the arms' labels, one entry a seed. ``how``: what it was made with."""
    lines = [
        f"# {name}: {experiment.figure}",
        "",
        f"{experiment.accuracies} in per cent, after the last epoch and at the best one.",
        "",
        "| trained on | final | peak | at epoch | the paper |",
        "|---|---|---|---|---|",
    ]
    for label, entries in runs.items():
        final, peak = (str(Estimate.of([run[f"{key}_test_accuracy"] for run in entries])) for key in ("final", "peak"))
        epochs = sorted({run["peak_epoch"] for run in entries})
        when = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]}-{epochs[-1]}"
        paper = f"{experiment.paper[label]:.2f}" if label in experiment.paper else ""
        lines.append(f"| {label} | {final} | {peak} | {when} | {paper} |")
    lines += ["", "What must show:", ""]
    lines += [f"- {'yes' if claim.holds else '**no**'}: {claim.text}" for claim in claims]
    return "\n".join([*lines, "", how, ""])


def summarised(entries: Sequence[Mapping[str, Any]]) -> Result:
    """The means over an arm's seeds."""
    count = len(entries)
    recalls = [
        [row[k] / max(1, sum(row)) for k, row in enumerate(run["confusion"])] for run in entries if run["confusion"]
    ]
    areas: dict[str, list[float]] = {}
    for run in entries:
        for group, found in run.get("verification", {}).items():
            areas.setdefault(group, []).append(found["auc"])
    return Result(
        auc={group: sum(values) / len(values) for group, values in areas.items()},
        final=sum(run["final_test_accuracy"] for run in entries) / count,
        peak=sum(run["peak_test_accuracy"] for run in entries) / count,
        recall=[sum(values) / len(values) for values in zip(*recalls, strict=True)],
    )
