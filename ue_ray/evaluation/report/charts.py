"""Line charts: learning curves and ROC curves, placed on a sheet that ``templates/figures.html.jinja`` draws."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ue_ray.evaluation.measures import (
    VERIFICATION_HEADING,
    Runs,
    mean_curve,
    mean_roc,
    verification_rows,
    verified_groups,
)

Point = tuple[float, float]
Tones = Mapping[str, str]  # by the names of runs: a colour, as in Line


@dataclass(frozen=True)
class Line:
    """A curve with a name: points (x, y), y in [0, 1] before they are placed on the sheet.

    ``tone``: its colour, a class of the style sheet. ``seeds``: thin lines of that colour. ``rings``: marked points.
    """

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


@dataclass(frozen=True)
class Chart:
    """All positions are on a sheet of ``width`` x ``height`` with (0, 0) at the top left; the constants bound the plot.

    ``chance``: the two ends of a dashed line for what guessing reaches, or nothing.
    """

    width: ClassVar[int] = 640
    height: ClassVar[int] = 340
    left: ClassVar[int] = 44
    right: ClassVar[int] = 628
    top: ClassVar[int] = 34
    bottom: ClassVar[int] = 290

    title: str
    up: str
    across: str
    ticks_up: Sequence[tuple[float, str]]
    ticks_across: Sequence[tuple[float, str]]
    lines: Sequence[Line]
    chance: Sequence[Point]


def line_chart(title: str, lines: Sequence[Line], across: Axis, up: str, chance: Sequence[Point] = ()) -> Chart:
    """Places named lines on a sheet; ``up`` says what y is, which is shown in per cent."""

    def x(value: float) -> float:
        share = (value - across.first) / (across.last - across.first)
        return round(Chart.left + (Chart.right - Chart.left) * share, 1)

    def y(share: float) -> float:
        return round(Chart.bottom - (Chart.bottom - Chart.top) * share, 1)

    def placed(points: Sequence[Point]) -> list[Point]:
        return [(x(a), y(b)) for a, b in points]

    def curve(points: Sequence[Point]) -> list[Point]:
        return placed([*points, *points[-1:]])  # twice the last point: a curve of one point shows as a dot

    return Chart(
        title,
        up,
        across.words,
        ticks_up=[(y(tick / 100), str(tick)) for tick in range(0, 101, 20)],
        ticks_across=[(x(value), number) for value, number in across.ticks.items()],
        lines=[
            replace(line, points=curve(line.points), seeds=[curve(of) for of in line.seeds], rings=placed(line.rings))
            for line in lines
        ],
        chance=placed(chance),
    )


def learning_curves(
    title: str, runs: Runs, tones: Tones, accuracy: str, chance: float | None = None, ringed: Collection[str] = ()
) -> Chart:
    """Draws ``accuracy`` by epoch: a line for each name, a thin one for each of several seeds. The best epoch of every
    run of the names in ``ringed`` is marked."""
    lines = []
    for name, seeds in runs.items():
        if mean := mean_curve(seeds, "test_accuracy"):
            single = [mean_curve([run], "test_accuracy") for run in seeds] if len(seeds) > 1 else []
            rings = [(run["peak_epoch"], run["peak_test_accuracy"]) for run in seeds] if name in ringed else []
            lines.append(Line(name, mean, tones[name], single, rings))
    across = _epochs(max((int(line.points[-1][0]) for line in lines), default=1))
    return line_chart(
        title, lines, across, accuracy, () if chance is None else ((across.first, chance), (across.last, chance))
    )


def _epochs(last: int) -> Axis:
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last <= 8 * step), last)
    ticks = sorted({1, *range(step, last + 1, step)})
    return Axis("epoch", 1, max(2, last), {epoch: str(epoch) for epoch in ticks})


@dataclass(frozen=True)
class Verification:
    """ROC curves, a chart for each group of people, and the rows of their table."""

    heading: ClassVar[tuple[str, ...]] = VERIFICATION_HEADING

    title: str
    charts: Sequence[Chart]
    rows: Sequence[tuple[str, ...]]


def verifications(groups: Mapping[str, tuple[Runs, Tones]]) -> list[Verification]:
    """Draws the verification of those ``groups``, by title, in which pairs were verified."""
    return [
        Verification(title, [_roc_chart(title, runs, tones, people) for people in all_people], verification_rows(runs))
        for title, (runs, tones) in groups.items()
        if (all_people := verified_groups(runs))
    ]


def _roc_chart(title: str, runs: Runs, tones: Tones, people: str) -> Chart:
    lines = []
    for name, seeds in runs.items():
        curves = [run["verification"][people]["roc"] for run in seeds if people in run.get("verification", {})]
        if curves:
            lines.append(Line(name, mean_roc(curves), tones[name], curves if len(curves) > 1 else ()))
    across = Axis("false positive rate, %", 0, 1, {share / 100: str(share) for share in range(0, 101, 20)})
    return line_chart(f"{title}, {people}", lines, across, "true positive rate", ((0, 0), (1, 1)))
