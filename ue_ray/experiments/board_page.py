"""A board's outcome: a table in Markdown, and one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from ue_ray.evaluation.measures import Estimate, Runs, chance_of, chance_percent, percent
from ue_ray.evaluation.report.charts import learning_curves
from ue_ray.evaluation.report.page import render
from ue_ray.experiments.base import CLEAN
from ue_ray.experiments.page import COLOURS, made_of

FACTS = ("craft_seconds", "psnr", "ssim")


@dataclass(frozen=True)
class Cell:
    """The victims of a method under a countermeasure: one a noise seed and a victim seed. Accuracies in [0, 1].

    ``clean``: what victims trained on clean images reach under it, the mean.
    """

    runs: Sequence[Mapping[str, Any]]
    clean: float

    @cached_property
    def final(self) -> Estimate:
        return Estimate.of([run["final_test_accuracy"] for run in self.runs])

    @cached_property
    def peak(self) -> Estimate:
        return Estimate.of([run["peak_test_accuracy"] for run in self.runs])

    @property
    def worst(self) -> float:
        return float(max(run["final_test_accuracy"] for run in self.runs))

    @property
    def leaking(self) -> float:
        """How many classes are recognised, the mean (``victim.informedness``)."""
        return fmean(run["recognised_classes"] for run in self.runs)

    @property
    def left(self) -> float:
        """The share of the clean accuracy that is left."""
        return self.final.mean / self.clean


@dataclass(frozen=True)
class Row:
    """A method; ``cells`` by countermeasure. ``facts``: FACTS, the means over its noises (seconds, dB), None where
    there is none."""

    name: str
    cells: Mapping[str, Cell]
    facts: Mapping[str, float | None]

    @property
    def mean(self) -> float:
        """Of the final accuracies over countermeasures."""
        return fmean(cell.final.mean for cell in self.cells.values())

    @property
    def left(self) -> float:
        """Of the clean accuracies: the mean share that is left."""
        return fmean(cell.left for cell in self.cells.values())

    @property
    def worst(self) -> str:
        """The countermeasure under which the most is left."""
        return max(self.cells, key=lambda name: self.cells[name].left)

    @property
    def leaking(self) -> float:
        return fmean(cell.leaking for cell in self.cells.values())


def rows(results: Mapping[str, Any]) -> list[Row]:
    """The rows of a board, clean images first, then the methods from the one that leaves least. ``results``: as in
    results.json."""
    runs, layout, noises = results["runs"], results["layout"], results["noises"]
    grouped = {
        name: {column: [run for label in labels for run in runs[label]] for column, labels in row["cells"].items()}
        for name, row in layout.items()
    }
    clean = {column: Cell(found, 1.0).final.mean for column, found in grouped[CLEAN].items()}
    made = [
        Row(
            name,
            {column: Cell(found, clean[column]) for column, found in cells.items()},
            {fact: _mean(noises[noise][fact] for noise in layout[name]["noises"]) for fact in FACTS},
        )
        for name, cells in grouped.items()
    ]
    return sorted(made, key=lambda row: (row.name != CLEAN, row.left))


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def best(board: Sequence[Row]) -> dict[str, str]:
    """By countermeasure: the method that leaves least."""
    methods = [row for row in board if row.name != CLEAN]
    return {column: min(methods, key=lambda row: row.cells[column].final.mean).name for column in board[0].cells}


def headings(board: Sequence[Row]) -> tuple[str, ...]:
    return (
        "trained on",
        "mean",
        "left, %",
        "worst",
        *board[0].cells,
        "classes that leak",
        "crafting, s",
        "PSNR, dB",
        "SSIM",
    )


def cells(row: Row) -> tuple[str, ...]:
    """Returns a line of the table, as under ``headings``."""
    clean = row.name == CLEAN
    worst = "" if clean else f"{percent(row.cells[row.worst].left)}, {row.worst}"
    seconds, psnr, ssim = (row.facts[name] for name in FACTS)
    return (
        row.name,
        percent(row.mean),
        percent(row.left),
        worst,
        *(f"{cell.final} / {percent(cell.peak.mean)}" for cell in row.cells.values()),
        f"{row.leaking:.1f}",
        "" if clean else f"{seconds or 0:,.0f}",
        "" if psnr is None else f"{psnr:.1f}",
        "" if ssim is None else f"{ssim:.3f}",
    )


def board_text(results: Mapping[str, Any], how: str) -> str:
    """Markdown; ``how``: what it was made with."""
    board = rows(results)
    names, firsts = headings(board), best(board)
    lines = [
        f"# board: {results['figure']}",
        "",
        "Accuracy on clean test images in per cent, after the last epoch / at the best one: means over noise and "
        "victim seeds. Left: the share of the clean victims' accuracy, the mean over countermeasures. Lower is better.",
        "",
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
    ]
    for row in board:
        marked = [
            f"**{cell}**" if firsts.get(name) == row.name else cell
            for name, cell in zip(names, cells(row), strict=True)
        ]
        lines.append(f"| {' | '.join(marked)} |")
    if results["guards"]:
        lines += ["", "Objections:", "", *(f"- {guard['level']}: {guard['message']}" for guard in results["guards"])]
    return "\n".join([*lines, "", how, ""])


def _orders(board: Sequence[Row]) -> dict[str, list[str]]:
    """The rows, lowest first, by what they can be sorted by; clean images stay at the top."""

    def order(of: Callable[[Row], float]) -> list[str]:
        return [row.name for row in sorted(board, key=lambda row: (row.name != CLEAN, of(row)))]

    def final(column: str) -> Callable[[Row], float]:
        return lambda row: row.cells[column].final.mean

    return {
        "left": order(lambda row: row.left),
        "worst": order(lambda row: row.cells[row.worst].left),
        "leaks": order(lambda row: row.leaking),
        **{column: order(final(column)) for column in board[0].cells},
    }


def board_page(results: Mapping[str, Any]) -> str:
    """``results``: as in results.json."""
    board = rows(results)
    chance = chance_of(run for seeds in results["runs"].values() for run in seeds)
    methods = [row for row in board if row.name != CLEAN]
    leader = methods[0]
    return render(
        "board.html.jinja",
        kind=f"board: {results['figure']}",
        heading=f"{leader.name} leaves {percent(leader.left)} % of the clean accuracy, the least of {len(methods)}.",
        results=results,
        board=board,
        names=headings(board),
        lines=[(row.name, cells(row)) for row in board],
        orders=_orders(board),
        best=best(board),
        percent=percent,
        chance=chance_percent(chance),
        curves=[
            learning_curves(f"{column}{part}", runs, tones, "accuracy on clean test images", chance)
            for column in board[0].cells
            for part, runs, tones in _charts(board, column)
        ],
        confusion={},
        verifications=[],
        origin=made_of(results),
    )


def _charts(board: Sequence[Row], column: str) -> list[tuple[str, Runs, dict[str, str]]]:
    """The runs of a countermeasure in charts of seven methods, from the best, with clean in each: what tells the charts
    apart, the runs by row, and their colours."""
    clean, *methods = board
    parts = [methods[start : start + COLOURS] for start in range(0, len(methods), COLOURS)]
    return [
        (
            "" if len(parts) == 1 else f", {number}",
            {row.name: list(row.cells[column].runs) for row in (clean, *part)},
            {CLEAN: "clean", **{row.name: f"arm{place}" for place, row in enumerate(part, 1)}},
        )
        for number, part in enumerate(parts, 1)
    ]
