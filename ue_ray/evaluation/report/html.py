"""HTML pages that hold all they show, without scripts or network: elements, tables, images, charts, matrices."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SMALL = 128  # up to here an image is enlarged without smoothing
MOST_CELLS = 20  # classes whose confusion matrix is a table; of more it is an image
STRONG = 0.7  # a share from which its shade is too dark for the ink of the page
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
VOID = ("meta", "img")


# --- elements ---------------------------------------------------------------------------------------------------------


class Html(str):
    """Text that is markup already; any other string is escaped when it becomes part of an element."""


def element(tag: str, *children: str, **attributes: object) -> Html:
    """``stroke_width=`` is written ``stroke-width=`` and ``class_=`` is ``class=``; what is empty is left out."""
    given = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items() if value != ""}
    written = (f' {name}="{escape(value)}"' for name, value in given.items())
    opening = f"<{tag}{''.join(written)}>"
    return Html(opening if tag in VOID else f"{opening}{''.join(map(_markup, children))}</{tag}>")


def _markup(text: str) -> str:
    return text if isinstance(text, Html) else escape(text).replace(" %", "\u00a0%")


def page(kind: str, heading: str, *sections: str) -> str:
    """A whole document that refers to nothing outside itself; ``kind`` is its title, and stands above the heading."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", kind),
        element("style", Html(Path(__file__).with_name("report.css").read_text(encoding="utf-8"))),
    )
    header = element("header", element("p", kind), element("h1", heading))
    return f"<!doctype html>\n{element('html', head, element('body', header, *sections), lang='en')}\n"


def section(title: str, *children: str) -> Html:
    return element("section", element("h2", title), *children)


def caption(*words: str) -> Html:
    return element("p", *words, class_="caption")


def folded(title: str, *children: str) -> Html:
    """Shown when the title is clicked."""
    return element("details", element("summary", title), *children)


def headings(names: Iterable[str]) -> Html:
    """A table's first line."""
    return element("thead", element("tr", *(element("th", name, scope="col") for name in names)))


def table(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> Html:
    """The first cell of each line names it."""
    body = (
        element("tr", element("th", first, scope="row"), *(element("td", of) for of in rest)) for first, *rest in lines
    )
    return wide(element("table", headings(heading), element("tbody", *body)))


def wide(child: str) -> Html:
    """What is scrolled sideways where the window is narrower."""
    return element("div", child, class_="wide")


def facts(of: Mapping[str, Iterable[str | None]]) -> Html:
    """A definition list; what is unknown (None) is left out, and no value is broken over two lines."""
    lines = ((name, " · ".join(v.replace(" ", "\u00a0") for v in values if v)) for name, values in of.items())
    return element("dl", *(part for name, line in lines if line for part in (element("dt", name), element("dd", line))))


def image(pixels: NDArray[np.uint8], description: str) -> Html:
    """``pixels``: [H, W, 3]; inside the page, losslessly."""
    height, width = pixels.shape[:2]
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    source = f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"
    size = "small" if max(height, width) <= SMALL else "large"
    return element("img", src=source, alt=description, width=width, height=height, class_=size)


# --- line charts ------------------------------------------------------------------------------------------------------

Point = tuple[float, float]  # y in [0, 1], drawn in per cent


@dataclass(frozen=True)
class Line:
    """``tone``: its colour, a class of the style sheet. ``seeds``: thin lines of that colour. ``rings``: points that
    are marked."""

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


LEFT, RIGHT, TOP, BOTTOM = 44, 628, 34, 290  # of the plot, on a sheet of 640 x 340


def line_chart(
    title: str, lines: Sequence[Line], across: Axis, up: str, chance: tuple[Point, Point] | None = None
) -> Html:
    """Named lines, and a dashed one between two points for what guessing reaches; ``up`` says what y is."""

    def x(value: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (value - across.first) / (across.last - across.first), 1)

    def y(share: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * share, 1)

    def curve(points: Sequence[Point], class_: str) -> Html:
        with_dot = [*points, *points[-1:]]  # twice the last point: a curve of one point shows as a dot
        return element("polyline", points=" ".join(f"{x(a)},{y(b)}" for a, b in with_dot), class_=class_)

    def rule(start: Point, end: Point, class_: str) -> Html:
        (x1, y1), (x2, y2) = ((x(a), y(b)) for a, b in (start, end))
        return element("line", x1=x1, x2=x2, y1=y1, y2=y2, class_=class_)

    def text(at_x: float, at_y: float, words: str, class_: str = "") -> Html:
        return element("text", words, x=at_x, y=at_y, class_=class_)

    parts = [text(0, 14, f"{up}, %"), text((LEFT + RIGHT) / 2, BOTTOM + 44, across.words, "middle")]
    for tick in range(0, 101, 20):
        parts.append(rule((across.first, tick / 100), (across.last, tick / 100), "grid"))
        parts.append(text(LEFT - 8, y(tick / 100) + 5, str(tick), "end"))
    parts += [text(x(value), BOTTOM + 22, number, "middle") for value, number in across.ticks.items()]
    parts += [rule(*chance, "chance")] if chance else []
    for line in lines:
        parts.append(curve(line.points, line.tone))
        parts += [curve(points, f"{line.tone} seed") for points in line.seeds]
        parts += [element("circle", cx=x(a), cy=y(b), r=5, class_=line.tone) for a, b in line.rings]
    svg = element("svg", *parts, viewBox="0 0 640 340", role="img", aria_label=f"{title}: {up} by {across.words}")
    named = [(line.name, line.tone) for line in lines] + ([("chance", "chance")] if chance else [])
    legend = element("ul", *(element("li", name, class_=tone) for name, tone in named), class_="legend")
    return element("figure", element("figcaption", title), legend, svg, class_="chart")


# --- confusion matrices -----------------------------------------------------------------------------------------------

FULL_SHADE = np.array([35, 101, 159])  # the style sheet's --clean, by day


def confusion_matrix(counts: Sequence[Sequence[int]], class_names: Sequence[str], title: str) -> Html:
    """``counts`` [K, K]: rows are the true classes, columns what their images were taken for; shaded by the share of
    the row. Classes are numbered where ``class_names`` are not those of the matrix."""
    matrix: NDArray[Any] = np.array(counts)
    shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    names = list(class_names) if len(class_names) == len(matrix) else [str(k) for k in range(len(matrix))]
    shown = _cells(matrix, shares, names) if len(matrix) <= MOST_CELLS else _shades(shares, title)
    return element("figure", element("figcaption", title), shown, class_="confusion")


def _cells(matrix: NDArray[Any], shares: NDArray[Any], names: Sequence[str]) -> Html:
    lines = []
    for name, row, of in zip(names, matrix, shares, strict=True):
        cells = (
            element("td", str(count), style=f"--share: {100 * share:.0f}%", class_="strong" if share > STRONG else "")
            for count, share in zip(row, of, strict=True)
        )
        lines.append(element("tr", element("th", name, scope="row"), *cells))
    return wide(element("table", headings(["", *names]), element("tbody", *lines)))


def _shades(shares: NDArray[Any], title: str) -> Html:
    colours = 255 + shares[..., None] * (FULL_SHADE - 255)
    return image(colours.round().astype(np.uint8), f"{title}, confusion matrix")
