"""What pages are made of: tables, line charts, confusion matrices; worked by hand."""

import numpy as np
import pytest

from tests.pages import NASTY, Page, drawn
from ue_ray.evaluation.report.charts import Axis, Line, line_chart
from ue_ray.evaluation.report.page import TEMPLATES
from ue_ray.evaluation.report.tables import MOST_CELLS, confusion_matrix

ACROSS = Axis("false positive rate, %", 0, 1, {0: "0", 1: "100"})


def matrix(counts: list[list[int]], class_names: list[str], title: str) -> Page:
    return Page(drawn("confusion_matrix", confusion_matrix(counts, class_names, title)))


def test_text_is_escaped_and_markup_is_not() -> None:
    template = TEMPLATES.from_string('<p class="{{ name }}">{{ text }}{{ bold|safe }}</p>')
    written = template.render(name='"', text="a < b, 5 %", bold="<b>c %</b>")
    assert written == '<p class="&#34;">a &lt; b, 5\u00a0%<b>c %</b></p>'


def test_whatever_is_named_nastily_is_shown_as_it_is() -> None:
    chart = line_chart(NASTY, [Line(NASTY, [(0, 0.5)], NASTY)], Axis(NASTY, 0, 1, {0: NASTY}), NASTY)
    parts = (
        drawn("table", (NASTY, NASTY), [(NASTY, NASTY)], NASTY),
        drawn("confusion_matrix", confusion_matrix([[1, 0], [0, 1]], [NASTY, NASTY], NASTY)),
        drawn("confusion_matrix", confusion_matrix(np.eye(MOST_CELLS + 1).tolist(), [], NASTY)),
        drawn("line_chart", chart),
        drawn("facts", {NASTY: [NASTY, None], "unknown": [None]}),
    )
    whole = Page("".join(parts))
    whole.check_self_contained()
    assert whole.words.count(NASTY) == 17
    assert "unknown" not in whole.words


def test_every_table_scrolls_in_a_named_box_that_the_keyboard_reaches() -> None:
    tables = (
        drawn("table", ("a", "b"), [("c", "d")], "figures"),
        drawn("confusion_matrix", confusion_matrix([[1]], ["cat"], "clean")),
    )
    boxes = [attributes for tag, attributes in Page("".join(tables)).elements if tag == "div"]
    assert [box["aria-label"] for box in boxes] == ["figures", "clean, confusion matrix"]
    assert all((box["class"], box["role"], box["tabindex"]) == ("wide", "region", "0") for box in boxes)


def test_each_cell_says_its_heading_where_cells_are_stacked() -> None:
    page = Page(drawn("table", ("a", NASTY), [("c", "d")], "figures"))
    assert page.all("td", "data-name") == [NASTY]
    assert page.all("table", "class") == ["stacked"]
    style = TEMPLATES.get_template("report.css").render()
    phone = style[style.index("@media (max-width: 40rem)") :]
    assert ".stacked td::before { content: attr(data-name)" in phone
    assert ".stacked tbody th { display: block" in phone


def test_a_wide_matrix_says_that_it_scrolls() -> None:
    names = [str(k) for k in range(9)]
    assert "scrolls sideways" in matrix(np.eye(9).astype(int).tolist(), names, "clean").words
    assert "scrolls sideways" not in matrix([[1, 0], [0, 1]], names[:2], "clean").words


def test_roc_path_by_hand() -> None:
    """The plot is 584 x 256 with its origin at (44, 290): half-way right is 336, three quarters up 98."""
    line = Line("clean", [(0, 0.0), (0.5, 0.75), (1, 1.0)], "clean", seeds=[[(0, 0.5)]], rings=[(0.25, 1.0)])
    placed = line_chart("a victim", [line], ACROSS, "true positive rate", ((0, 0.0), (1, 1.0)))
    chart = Page(drawn("line_chart", placed))
    assert chart.all("polyline", "points") == ["44.0,290.0 336.0,98.0 628.0,34.0 628.0,34.0", "44.0,162.0 44.0,162.0"]
    assert chart.all("polyline", "class") == ["clean", "clean seed"]
    (ring,) = (attributes for tag, attributes in chart.elements if tag == "circle")
    assert (ring["cx"], ring["cy"]) == ("190.0", "34.0")
    *_, guess = (attributes for tag, attributes in chart.elements if tag == "line")
    assert [guess[key] for key in ("x1", "y1", "x2", "y2", "class")] == ["44.0", "290.0", "628.0", "34.0", "chance"]
    assert chart.all("li", "class") == ["clean", "chance"]
    assert chart.all("svg", "aria-label") == ["a victim: true positive rate by false positive rate, %"]


def test_confusion_is_shaded_by_the_share_of_the_row() -> None:
    shown = matrix([[9, 1, 0], [1, 1, 2], [0, 0, 0]], ["cat", "dog", "bird"], "clean")
    assert shown.all("td", "style") == [f"--share: {share}%" for share in (90, 10, 0, 25, 25, 50, 0, 0, 0)]
    assert shown.all("td", "class") == ["strong", *[None] * 8]
    assert shown.words == "cleancatdogbirdcat910dog112bird000"


def test_confusion_of_many_classes_is_an_image_enlarged_without_smoothing() -> None:
    counts = np.diag(np.full(MOST_CELLS + 1, 4))
    counts[0] = 0
    counts[0, :2] = 2
    shown = matrix(counts.tolist(), [], "clean")
    (pixels,) = shown.images()
    assert pixels.shape == (MOST_CELLS + 1, MOST_CELLS + 1, 3)
    assert pixels[1, 1].tolist() == [35, 101, 159]
    assert pixels[0, 1].tolist() == [145, 178, 207]  # half-way to white, 255
    assert pixels[2, 1].tolist() == [255, 255, 255]
    assert shown.all("img", "class") == ["small"]


@pytest.mark.parametrize("names", [[], ["cat", "dog"]])
def test_classes_that_are_not_those_of_the_matrix_are_numbered(names: list[str]) -> None:
    assert matrix([[1, 0, 0]] * 3, names, "joined").words == "joined0120100110021 00".replace(" ", "")
