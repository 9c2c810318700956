"""An evaluation's results as plain text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ue_ray.evaluation.measures import chance_percent, summarise
from ue_ray.evaluation.report.headline import comparison, worst_case


def console_table(results: Mapping[str, Any]) -> str:
    """The outcome as aligned text, one line per victim and train set; what countermeasures do; the guards."""
    heading = ("victim", "train set", "final %", "peak %", "epoch", "train accuracy %", "seeds", "seconds")
    lines: list[Sequence[str]] = [heading]
    rows = summarise(results["runs"])
    for row in rows:
        labels = [row.label, *[""] * (len(row.sets) - 1)]
        sets = zip(labels, row.sets.items(), strict=True)
        lines += [(label, name, *summary.cells) for label, (name, summary) in sets]
    chance = chance_percent(1 / results["data"]["clean"]["classes"])
    title = f"clean test accuracy, final and peak: lower is better protection; chance is {chance} %"
    parts = [[title], _aligned(lines)]
    if worst := worst_case(rows):
        parts += [_aligned(comparison(rows)), [worst]]
    parts.append([f"{guard['level']}: {guard['message']}" for guard in results["guards"]])
    return "\n\n".join("\n".join(part) for part in parts if part)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Two columns of words to the left, then numbers to the right."""
    columns = []
    for i, column in enumerate(zip(*lines, strict=True)):
        align, width = str.ljust if i < 2 else str.rjust, max(map(len, column))
        columns.append([align(cell, width) for cell in column])
    return ["  ".join(line) for line in zip(*columns, strict=True)]
