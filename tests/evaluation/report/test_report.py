"""The report: sums by hand, a table to the letter, and a page that is whole, escaped and self-contained."""

from typing import Any

import numpy as np
import pytest

from tests.pages import NASTY, Page
from ue_ray.evaluation.gallery import CROP, GalleryItem
from ue_ray.evaluation.measures import Estimate, mean_curve, summarise
from ue_ray.evaluation.report.console import console_table, headline
from ue_ray.evaluation.report.page import html_page
from ue_ray.evaluation.report.tables import data_facts


def run(train_set: str, final: float, peak: float, epoch: int, **changes: Any) -> dict[str, Any]:
    curve = [
        {"epoch": 1, "train_accuracy": 0.5, "train_loss": 1.0, "test_accuracy": peak, "seconds": 1.0},
        {"epoch": 2, "train_accuracy": 0.999, "train_loss": 0.1, "test_accuracy": final, "seconds": 1.0},
    ]
    return {
        "victim": "resnet9",
        "train_set": train_set,
        "countermeasure": "none",
        "seed": 0,
        "epochs": 2,
        "final_test_accuracy": final,
        "balanced_test_accuracy": final,
        "chance": 0.1,
        "peak_test_accuracy": peak,
        "peak_epoch": epoch,
        "informedness": [0.02] * 10,
        "recognised_most": "0",
        "recognised_most_informedness": 0.02,
        "recognised_classes": 0,
        "train_accuracy": 0.999,
        "curve": curve,
        "seconds": 60.6,
        **changes,
    }


RUNS = [run("clean", 0.981, 0.983, 2), run("control", 0.975, 0.979, 2), run("protected", 0.104, 0.38, 1)]


def results(runs: list[dict[str, Any]] = RUNS, **protected: Any) -> dict[str, Any]:
    measured = {"max_abs_delta": 8 / 255, "mean_abs_delta": 6.3 / 255, "aligned": 998, "missing": 2}
    return {
        "format_version": 1,
        "created": "2026-01-02T03:04:05+00:00",
        "command": f"evaluate_victims --note {NASTY}",
        "seconds": 1834.2,
        "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 23.4, "gpus": ["a GPU"]},
        "versions": {"ue_ray": "0.1.0", "python": "3.11"},
        "data": {
            "clean": {"uri": NASTY, "images": 1000, "classes": 10, "class_names": [NASTY]},
            "protected": {
                "uri": "s3://b/protected",
                "images": 998,
                "method": "error_minimizing",
                "granularity": "class_wise",
                "epsilon": 8 / 255,
                "norm": "linf",
                **measured,
                **protected,
            },
            "test": {"uri": "s3://b/test", "images": 1000},
            "control": {"noise": "random", "granularity": "sample_wise", "epsilon": 8 / 255},
        },
        "runs": runs,
        "guards": [
            {"name": "a", "level": "warning", "message": f"mind {NASTY}"},
            {"name": "b", "level": "note", "message": "one seed"},
        ],
    }


def verified(auc: float, group: str = NASTY) -> dict[str, Any]:
    roc = [(0, 0), (0.5, auc), (1, 1)]
    return {group: {"recognised": 0.7, "pairs": 2000, "auc": auc, "accuracy": 0.8, "spread": 0.02, "roc": roc}}


def item(height: int = 4, width: int = 6, delta: int = 4) -> GalleryItem:
    clean = np.full((height, width, 3), 100, np.uint8)
    return GalleryItem.of(NASTY, NASTY, clean, clean + np.uint8(delta))


def test_summarise_by_hand() -> None:
    runs = [
        run("protected", 0.10, 0.30, 3, seed=0),
        run("clean", 0.90, 0.95, 7),
        run("protected", 0.20, 0.50, 5, seed=1, seconds=1.4),
        run("protected", 0.30, 0.40, 4, countermeasure="jpeg"),
    ]
    plain, jpeg = summarise(runs)
    assert (plain.label, jpeg.label) == ("resnet9", "resnet9 with jpeg")
    assert list(plain.sets) == ["clean", "protected"]
    assert list(jpeg.sets) == ["protected"]
    protected = plain.sets["protected"]
    assert protected.final.mean == pytest.approx(0.15)
    assert protected.final.std == pytest.approx(0.1 / 2**0.5)  # sample deviation of two: half the gap times sqrt 2
    assert protected.peak.mean == pytest.approx(0.40)
    assert (protected.seeds, protected.peak_epochs, protected.seconds) == (2, "3-5", 62.0)
    assert plain.sets["clean"].final == Estimate(0.90, None)
    assert plain.sets["clean"].peak_epochs == "7"


def test_mean_curve_averages_the_seeds_by_epoch() -> None:
    runs = [run("clean", 0.8, 0.4, 1), run("clean", 0.6, 0.2, 1, seed=1)]
    runs[1]["curve"] = runs[1]["curve"][:1]
    assert mean_curve(runs, "test_accuracy") == [(1, pytest.approx(0.3)), (2, 0.8)]
    assert mean_curve([], "test_accuracy") == []


def test_console_table_to_the_letter() -> None:
    runs = [*RUNS, run("protected", 0.096, 0.36, 2, seed=1)]
    expected = """\
clean test accuracy, final and peak: lower is better protection; chance is 10 %

victim   train set     final %  balanced %      peak %  epoch      worst %  known  train accuracy %  seeds  seconds
resnet9  clean            98.1        98.1        98.3      2  98.1 / 98.3      0              99.9      1       61
         control          97.5        97.5        97.9      2  97.5 / 97.9      0              99.9      1       61
         protected  10.0 ± 0.6  10.0 ± 0.6  37.0 ± 1.4    1-2  10.4 / 38.0      0        99.9 ± 0.0      2      121

warning: mind <script>alert("x")</script>
note: one seed

verdict: protects: of 2 victims the worst ends at 10.4 % and peaks at 38.0 % (clean 98.1 %, chance 10.0 %); no class \
is recognised; one kind of input layer only: add whitened-resnet9 to --victims
(protects: each victim ends at most 20% of the way from chance to its clean accuracy, peaks at most 50% of it, and no \
class's informedness is above 0.5; weak: each ends at most 50% of it)"""
    assert console_table(results(runs)) == expected


def test_headline() -> None:
    assert headline(results()) == (
        "Trained on the protected images, resnet9 reaches 10.4 % on clean test images (98.1 % when trained on the "
        "clean ones; chance is 10 %); at its best epoch it reached 38.0 %."
    )
    assert headline(results([])) == "No victim was trained on the protected images."
    assert headline(results(RUNS[2:])) == (
        "Trained on the protected images, resnet9 reaches 10.4 % on clean test images (chance is 10 %); "
        "at its best epoch it reached 38.0 %."
    )


def test_headline_tells_the_least_favourable_case() -> None:
    other = run("protected", 0.25, 0.3, 1, victim="resnet18")
    jpeg = run("protected", 0.807, 0.82, 1, countermeasure="jpeg")
    assert headline(results([*RUNS, other, jpeg])) == (
        "Trained on the protected images, resnet18, the most successful of 2 victims, reaches 25.0 % on clean test "
        "images (chance is 10 %); at its best epoch it reached 30.0 %. With jpeg, resnet9 reaches 80.7 %."
    )


def test_countermeasures_are_compared_and_the_worst_case_is_named() -> None:
    after = [run("clean", 0.6, 0.61, 1), run("protected", 0.3, 0.5, 1), run("protected", 0.2, 0.4, 1, seed=1)]
    runs = [*RUNS, *(of | {"countermeasure": "jpeg-50"} for of in after)]
    expected = """\
victim   countermeasure        clean      control                protected
resnet9  none            98.1 / 98.3  97.5 / 97.9              10.4 / 38.0
resnet9  jpeg-50         60.0 / 61.0               25.0 ± 7.1 / 45.0 ± 7.1

Worst case of 2 countermeasures, jpeg-50: resnet9 learns 25.0 % (final), 45.0 % (peak) from the protected images, \
60.0 % from the clean ones.

warning: mind <script>alert("x")</script>"""
    assert expected in console_table(results(runs))
    page = Page(html_page(results(runs), []))
    assert "Worst case of 2 countermeasures, jpeg-50" in page.words
    assert "25.0 ± 7.1 / 45.0 ± 7.1" in page.words


def test_one_countermeasure_is_no_comparison() -> None:
    only = [of | {"countermeasure": "jpeg-50"} for of in RUNS]
    assert "Worst case" not in console_table(results(only))
    assert "Countermeasures" not in html_page(results(only), [])


def test_page_is_whole_and_holds_the_numbers() -> None:
    page = Page(html_page(results(), [item()]))
    for words in (
        headline(results()),
        "98.1",
        "38.0",
        "largest change 8/255",
        "mean change 6.3/255",
        "2 clean images without a protected twin",
        "epsilon 8/255",
        "chance, 10 %",
        "delta × 15.9",
        "PSNR 36.1 dB",  # 10 log10(255^2 / 4^2)
        "mind <script>",
        "one seed",
        "What this does not protect against",
        "1,834 seconds",
        "a GPU",
    ):
        assert words in page.words


def test_page_escapes_data_and_refers_to_nothing_outside() -> None:
    confused = run("clean", 0.9, 0.9, 1, victim=NASTY, confusion=[[1]], verification=verified(0.9))
    page = Page(html_page(results([*RUNS, confused]), [item()]))
    assert NASTY in page.words
    page.check_self_contained()
    assert len(page.images()) == 3


def test_scripts_in_names_uris_and_commands_are_escaped() -> None:
    def nasty(name: str) -> str:
        return f"</style><script>{name}</script>"

    made, images = results(), item()
    made["data"]["clean"] |= {"uri": nasty("clean uri"), "class_names": [nasty("class")]}
    made["data"]["protected"] |= {"uri": nasty("protected uri"), "method": nasty("method")}
    made["data"]["test"]["uri"] = nasty("test uri")
    made |= {"command": nasty("command"), "versions": {nasty("package"): nasty("version")}}
    made["runs"] = [run("clean", 0.9, 0.9, 1, victim=nasty("victim"), confusion=[[1]], countermeasure=nasty("jpeg"))]
    shown = GalleryItem.of(nasty("sample key"), nasty("label"), images.clean, images.protected)
    page = Page(html_page(made, [shown]))
    names = ("class", "clean uri", "protected uri", "method", "test uri", "command", "package", "version", "victim")
    page.check_escaped(*(nasty(name) for name in (*names, "jpeg", "sample key", "label")))


def test_page_refers_to_nothing_outside_itself() -> None:
    confused = run("clean", 0.9, 0.9, 1, confusion=[[1]], verification=verified(0.9))
    page = Page(html_page(results([*RUNS, confused]), [item()]))
    page.check_self_contained()
    page.check_policy()


def test_gallery_magnifies_delta_to_the_full_range() -> None:
    """Half of epsilon, 4/255, lies halfway from mid-gray to white: 0.75 of 255."""
    clean, protected, magnified = Page(html_page(results(), [item(delta=4)])).images()
    assert np.array_equal(clean, item().clean)
    assert np.array_equal(protected, item().protected)
    assert np.all(magnified == 191)


@pytest.mark.parametrize(
    ("norm", "epsilon", "said"),
    [("linf", 8 / 255, "epsilon 8/255"), ("l2", 1.3, "epsilon 1.3"), ("l0", 1.0, "pixels 1"), ("unbounded", 1.0, None)],
)
def test_the_budget_is_said_in_its_own_unit(norm: str, epsilon: float, said: str | None) -> None:
    facts = list(data_facts(results(norm=norm, epsilon=epsilon)["data"])["protected"])
    assert norm in facts
    assert said in facts


@pytest.mark.parametrize("delta", [0, 5])
def test_gallery_of_a_foreign_set_is_scaled_by_its_own_largest_change(delta: int) -> None:
    foreign: dict[str, Any] = dict.fromkeys(
        ("method", "granularity", "epsilon", "norm", "max_abs_delta", "mean_abs_delta", "aligned")
    )
    page = Page(html_page(results(**foreign), [item(delta=delta)]))
    assert np.all(page.images()[2] == (255 if delta else 128))
    assert ("PSNR ∞" in page.words) == (delta == 0)


def test_gallery_shows_the_middle_of_a_large_image() -> None:
    shown = Page(html_page(results(), [item(height=CROP + 100, width=50)])).images()[0]
    assert shown.shape == (CROP, 50, 3)


@pytest.mark.parametrize("runs", [[], RUNS[2:], [*RUNS, run("protected", 0.2, 0.2, 1, curve=[])]])
def test_page_of_little(runs: list[dict[str, Any]]) -> None:
    Page(html_page(results(runs) | {"guards": []}, []))


def test_one_chart_per_victim_with_a_line_per_set_and_seed() -> None:
    runs = [*RUNS, run("protected", 0.11, 0.4, 1, seed=1), run("clean", 0.9, 0.9, 1, victim="resnet18")]
    page = Page(html_page(results(runs), []))
    assert page.all("polyline", "class") == [
        "clean",
        "control",
        "protected",
        "protected seed",
        "protected seed",
        "clean",
    ]
    assert sum(tag == "svg" for tag, _ in page.elements) == 2
    assert sum(tag == "circle" for tag, _ in page.elements) == 2


def test_confusion_of_clean_and_protected_is_summed_over_seeds_and_folded_away() -> None:
    runs = [
        run("clean", 0.9, 0.9, 1, confusion=[[9, 1], [2, 8]]),
        run("protected", 0.5, 0.5, 1, confusion=[[5, 5], [4, 6]]),
        run("protected", 0.5, 0.5, 1, seed=1, confusion=[[15, 5], [6, 4]]),
        run("control", 0.9, 0.9, 1, confusion=[[777, 0], [0, 777]]),
    ]
    page = Page(html_page(results(runs), []))
    shares = [f"--share: {share}%" for share in (90, 10, 20, 80, 67, 33, 50, 50)]  # 20 and 10 of 30; 10 and 10 of 20
    assert [style for style in page.all("td", "style") if style] == shares
    assert sum(tag == "details" for tag, _ in page.elements) == 1
    assert "777" not in page.words
    assert "Confusion" not in Page(html_page(results(RUNS), [])).words


def test_verification_has_a_chart_for_each_group_of_people() -> None:
    both = [
        run(name, 0.9, 0.9, 1, verification=verified(auc, "everybody"))
        for name, auc in (("clean", 0.95), ("protected", 0.6))
    ]
    page = Page(html_page(results(both), []))
    for words in ("resnet9, everybody", "true positive rate, %", "0.950", "0.600", "80.0 ± 2.0", "70.0", "2,000"):
        assert words in page.words
    assert sum(tag == "svg" for tag, _ in page.elements) == 2
    assert "Verification" not in Page(html_page(results(RUNS), [])).words


def test_gallery_gives_ssim_of_what_is_large_enough() -> None:
    assert "SSIM 1.000 ·" in Page(html_page(results(), [item(11, 11, delta=0)])).words
    assert "SSIM 0" not in Page(html_page(results(), [item(11, 10)])).words
