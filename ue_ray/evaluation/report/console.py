"""An evaluation's outcome as plain text: its table for the terminal, and what the table says in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ue_ray.evaluation.measures import TRAIN_SETS, SummaryRow, chance_of, chance_percent, percent, summarise
from ue_ray.evaluation.verdict import as_lines


def console_table(results: Mapping[str, Any]) -> str:
    """Aligned lines, one per victim and train set; what countermeasures do; the guards."""
    heading = (
        "victim",
        "train set",
        "final %",
        "balanced %",
        "peak %",
        "epoch",
        "worst %",
        "known",
        "train accuracy %",
        "seeds",
        "seconds",
    )
    lines: list[Sequence[str]] = [heading]
    rows = summarise(results["runs"])
    for row in rows:
        labels = (row.label, *[""] * len(TRAIN_SETS))
        lines += [(label, name, *of.cells) for label, (name, of) in zip(labels, row.sets.items(), strict=False)]
    chance = chance_percent(chance_of(results["runs"]))
    title = f"clean test accuracy, final and peak: lower is better protection; chance is {chance} %"
    parts = [[title], _aligned(lines)]
    if worst := worst_case(rows):
        parts += [_aligned(comparison(rows)), [worst]]
    parts.append([f"{guard['level']}: {guard['message']}" for guard in results["guards"]])
    parts.append(as_lines(results))
    return "\n\n".join("\n".join(part) for part in parts if part)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Two columns of words to the left, then numbers to the right."""
    columns = []
    for i, column in enumerate(zip(*lines, strict=True)):
        align, width = str.ljust if i < 2 else str.rjust, max(map(len, column))
        columns.append([align(cell, width) for cell in column])
    return ["  ".join(line) for line in zip(*columns, strict=True)]


def comparison(rows: Sequence[SummaryRow]) -> list[tuple[str, ...]]:
    """A heading, then a line for each victim and countermeasure: final / peak in per cent by train set."""
    names = [name for name in TRAIN_SETS if any(name in row.sets for row in rows)]
    lines = [("victim", "countermeasure", *names)]
    for row in rows:
        cells = (f"{row.sets[name].final} / {row.sets[name].peak}" if name in row.sets else "" for name in names)
        lines.append((row.victim, row.countermeasure, *cells))
    return lines


def headline(results: Mapping[str, Any]) -> str:
    """States the outcome without a countermeasure, by the victim that learned most; then the best countermeasure."""
    rows = [row for row in summarise(results["runs"]) if "protected" in row.sets]
    if not rows:
        return "No victim was trained on the protected images."
    plain = [row for row in rows if row.countermeasure == "none"] or rows
    best, strongest = _learned_most(plain), _learned_most(rows)
    protected, clean = best.sets["protected"], best.sets.get("clean")
    among = f", the most successful of {len(plain)} victims," if len(plain) > 1 else ""
    baseline = f"{percent(clean.final.mean)} % when trained on the clean ones; " if clean else ""
    chance = chance_percent(chance_of(results["runs"]))
    sentence = (
        f"Trained on the protected images, {best.label}{among} reaches {percent(protected.final.mean)} % on clean test "
        f"images ({baseline}chance is {chance} %); at its best epoch it reached {percent(protected.peak.mean)} %."
    )
    if strongest is not best:
        reaches = percent(strongest.sets["protected"].final.mean)
        sentence += f" With {strongest.countermeasure}, {strongest.victim} reaches {reaches} %."
    return sentence


def worst_case(rows: Sequence[SummaryRow]) -> str | None:
    """Names the countermeasure after which a victim learned most from protected images; None without a choice."""
    rows = [row for row in rows if "protected" in row.sets]
    countermeasures = {row.countermeasure for row in rows}
    if len(countermeasures) < 2:
        return None
    row = _learned_most(rows)
    protected, clean = row.sets["protected"], row.sets.get("clean")
    beside = f", {percent(clean.final.mean)} % from the clean ones" if clean else ""
    return (
        f"Worst case of {len(countermeasures)} countermeasures, {row.countermeasure}: {row.victim} learns "
        f"{percent(protected.final.mean)} % (final), {percent(protected.peak.mean)} % (peak) from the protected "
        f"images{beside}."
    )


def _learned_most(rows: Sequence[SummaryRow]) -> SummaryRow:
    return max(rows, key=lambda row: row.sets["protected"].balanced.mean)
