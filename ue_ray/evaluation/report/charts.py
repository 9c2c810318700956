"""Line charts, as ``templates/figures.html.jinja`` draws them: learning curves and ROC curves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ue_ray.evaluation.measures import Runs, mean_curve, mean_roc, verification_rows, verified

Point = tuple[float, float]
Tones = Mapping[str, str]  # by the names of runs: a colour, as in Line

LEFT, RIGHT, TOP, BOTTOM = 44, 628, 34, 290  # of the plot, on a sheet of 640 x 340 with (0, 0) at the top left


@dataclass(frozen=True)
class Line:
    """A curve: points (x, y), y in [0, 1]. ``tone``: its colour, a class of the style sheet. ``seeds``: thin lines of
    that colour. ``rings``: points that are marked."""

    name: str
    points: Sequence[Point]
    tone: str
    seeds: Sequence[Sequence[Point]] = ()
    rings: Sequence[Point] = ()


@dataclass(frozen=True)
class Axis:
    """From ``first`` to ``last``, which is more; ``ticks``: where a number stands, and which."""

    words: str
    first: float
    last: float
    ticks: Mapping[float, str]


def line_chart(
    title: str, lines: Sequence[Line], across: Axis, up: str, chance: Sequence[Point] = ()
) -> dict[str, Any]:
    """Places lines, ticks and the ends of the dashed line of ``chance`` on the sheet; ``up`` says what y is."""

    def placed(*points: Point) -> list[Point]:
        width, height = (RIGHT - LEFT) / (across.last - across.first), BOTTOM - TOP
        return [(round(LEFT + width * (x - across.first), 1), round(BOTTOM - height * y, 1)) for x, y in points]

    def curve(points: Sequence[Point]) -> list[Point]:
        return placed(*points, *points[-1:])  # twice the last point: a curve of one point shows as a dot

    return {
        "title": title,
        "up": up,
        "across": across.words,
        "grid": {k: placed((across.first, k / 100), (across.last, k / 100)) for k in range(0, 101, 20)},  # per cent
        "ticks": {number: placed((value, 0))[0] for value, number in across.ticks.items()},
        "lines": [
            Line(line.name, curve(line.points), line.tone, [*map(curve, line.seeds)], placed(*line.rings))
            for line in lines
        ],
        "chance": placed(*chance),
    }


def learning_curves(
    title: str, runs: Runs, tones: Tones, accuracy: str, chance: float | None = None, ringed: Collection[str] = ()
) -> dict[str, Any]:
    """``accuracy`` by epoch: a line for each name, a thin one for each of several seeds. The best epoch of every run of
    the names in ``ringed`` is marked."""
    lines = []
    for name, seeds in runs.items():
        if mean := mean_curve(seeds, "test_accuracy"):
            single = [mean_curve([run], "test_accuracy") for run in seeds] if len(seeds) > 1 else []
            rings = [(run["peak_epoch"], run["peak_test_accuracy"]) for run in seeds] if name in ringed else []
            lines.append(Line(name, mean, tones[name], single, rings))
    across = _epochs(max((int(line.points[-1][0]) for line in lines), default=1))
    guessed = () if chance is None else ((across.first, chance), (across.last, chance))
    return line_chart(title, lines, across, accuracy, guessed)


def _epochs(last: int) -> Axis:
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last <= 8 * step), last)
    ticks = sorted({1, *range(step, last + 1, step)})
    return Axis("epoch", 1, max(2, last), {epoch: str(epoch) for epoch in ticks})


def verifications(groups: Mapping[str, tuple[Runs, Tones]]) -> list[dict[str, Any]]:
    """By title, where pairs were verified: ROC curves, a chart for each group of people, and a table's rows."""
    shown = []
    for title, (runs, tones) in groups.items():
        if people := dict.fromkeys(group for seeds in runs.values() for group in verified(seeds)):
            charts = [_roc_chart(f"{title}, {group}", runs, tones, group) for group in people]
            shown.append({"title": title, "charts": charts, "rows": verification_rows(runs)})
    return shown


def _roc_chart(title: str, runs: Runs, tones: Tones, people: str) -> dict[str, Any]:
    lines = []
    for name, seeds in runs.items():
        if curves := [verification["roc"] for verification in verified(seeds).get(people, [])]:
            lines.append(Line(name, mean_roc(curves), tones[name], curves if len(curves) > 1 else ()))
    across = Axis("false positive rate, %", 0, 1, {share / 100: str(share) for share in range(0, 101, 20)})
    return line_chart(title, lines, across, "true positive rate", ((0, 0), (1, 1)))
