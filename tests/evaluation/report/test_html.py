"""What pages are made of: elements, line charts, confusion matrices; worked by hand."""

import numpy as np
import pytest

from tests.pages import NASTY, Page
from ue_ray.evaluation.report.html import (
    MOST_CELLS,
    Axis,
    Html,
    Line,
    confusion_matrix,
    element,
    facts,
    folded,
    line_chart,
    page,
    section,
    table,
)

ACROSS = Axis("false positive rate, %", 0, 1, {0: "0", 1: "100"})


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("p", "a < b", Html("<b>c</b>"), class_='"') == '<p class="&quot;">a &lt; b<b>c</b></p>'
    assert element("line", stroke_width=2, class_="") == '<line stroke-width="2"></line>'


def test_whatever_is_named_nastily_is_shown_as_it_is() -> None:
    parts = (
        section(NASTY, table((NASTY, NASTY), [(NASTY, NASTY)])),
        folded(NASTY, confusion_matrix([[1, 0], [0, 1]], [NASTY, NASTY], NASTY)),
        confusion_matrix(np.eye(MOST_CELLS + 1).tolist(), [], NASTY),
        line_chart(NASTY, [Line(NASTY, [(0, 0.5)], NASTY)], Axis(NASTY, 0, 1, {0: NASTY}), NASTY),
        facts({NASTY: [NASTY, None]}),
    )
    whole = Page(page(NASTY, NASTY, *parts))
    whole.check_self_contained()
    assert whole.words.count(NASTY) == 22


def test_roc_path_by_hand() -> None:
    """The plot is 584 x 256 with its origin at (44, 290): half-way right is 336, three quarters up 98."""
    line = Line("clean", [(0, 0.0), (0.5, 0.75), (1, 1.0)], "clean", seeds=[[(0, 0.5)]], rings=[(0.25, 1.0)])
    chart = Page(line_chart("a victim", [line], ACROSS, "true positive rate", ((0, 0.0), (1, 1.0))))
    assert chart.all("polyline", "points") == ["44.0,290.0 336.0,98.0 628.0,34.0 628.0,34.0", "44.0,162.0 44.0,162.0"]
    assert chart.all("polyline", "class") == ["clean", "clean seed"]
    (ring,) = (attributes for tag, attributes in chart.elements if tag == "circle")
    assert (ring["cx"], ring["cy"]) == ("190.0", "34.0")
    *_, guess = (attributes for tag, attributes in chart.elements if tag == "line")
    assert [guess[key] for key in ("x1", "y1", "x2", "y2", "class")] == ["44.0", "290.0", "628.0", "34.0", "chance"]
    assert chart.all("li", "class") == ["clean", "chance"]
    assert chart.all("svg", "aria-label") == ["a victim: true positive rate by false positive rate, %"]


def test_confusion_is_shaded_by_the_share_of_the_row() -> None:
    shown = Page(confusion_matrix([[9, 1, 0], [1, 1, 2], [0, 0, 0]], ["cat", "dog", "bird"], "clean"))
    assert shown.all("td", "style") == [f"--share: {share}%" for share in (90, 10, 0, 25, 25, 50, 0, 0, 0)]
    assert shown.all("td", "class") == ["strong", *[None] * 8]
    assert shown.words == "cleancatdogbirdcat910dog112bird000"


def test_confusion_of_many_classes_is_an_image_enlarged_without_smoothing() -> None:
    counts = np.diag(np.full(MOST_CELLS + 1, 4))
    counts[0] = 0
    counts[0, :2] = 2
    shown = Page(confusion_matrix(counts.tolist(), [], "clean"))
    (pixels,) = shown.images()
    assert pixels.shape == (MOST_CELLS + 1, MOST_CELLS + 1, 3)
    assert pixels[1, 1].tolist() == [35, 101, 159]
    assert pixels[0, 1].tolist() == [145, 178, 207]  # half-way to white, 255
    assert pixels[2, 1].tolist() == [255, 255, 255]
    assert shown.all("img", "class") == ["small"]


@pytest.mark.parametrize("names", [[], ["cat", "dog"]])
def test_classes_that_are_not_those_of_the_matrix_are_numbered(names: list[str]) -> None:
    assert Page(confusion_matrix([[1, 0, 0]] * 3, names, "joined")).words == "joined0120100110021 00".replace(" ", "")
