"""The board: what its rows are read from, what is counted, and its page."""

import json
from dataclasses import replace

import pytest

from tests.experiments.test_page import results, run
from tests.pages import NASTY, Page
from ue_ray.errors import UserError
from ue_ray.experiments import EXPERIMENTS, SCALES
from ue_ray.experiments.board import Board, parse_entry
from ue_ray.experiments.board_page import best, board_page, board_text, rows
from ue_ray.experiments.job import resolve

BOARD = Board(("gratings", "lsp"), ("none", "grayscale"), (0, 1))
FINALS = {  # of the first noise seed, without and with grayscale; of the second 0.1 more
    "clean": (0.8, 0.6),
    "gratings": (0.1, 0.5),
    "lsp": (0.2, 0.2),
}


def made(board=BOARD, finals=FINALS):
    runs, noises = {}, {}
    for row, place in board.layout().items():
        for number, name in enumerate(place["noises"] or ["clean"]):
            for column, final in zip(board.countermeasures, finals[row], strict=True):
                runs[f"{name}, {column}"] = [run(final + 0.1 * number, recognised_classes=number)]
        noises |= {name: {"craft_seconds": None, "psnr": 31.0, "ssim": 0.95} for name in place["noises"]}
    more = {"layout": board.layout(), "noises": noises, "runs": runs, "claims": [], "paper": {}}
    return json.loads(json.dumps(results(runs) | more | {"figure": board.figure}))


def test_an_entry_is_a_method_and_its_options():
    assert parse_entry("lsp") == {"method": "lsp"}
    entry = "error-minimizing:granularity=sample-wise:max-rounds=3:step_size=1/255"
    assert parse_entry(entry) == {
        "method": "error-minimizing", "granularity": "sample-wise", "max_rounds": 3, "step_size": "1/255"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": ["gratings:8"]}, "--methods: 'gratings:8': '8' is no option: expected METHOD:OPTION=VALUE"),
        ({"methods": ["grating"]}, "did you mean gratings?"),
        ({"methods": ["lsp:cells=8"]}, "--methods: 'lsp:cells=8': --cells is no option of method lsp"),
        ({"methods": []}, "--methods is empty"),
        ({"countermeasures": ["jpg"]}, "unknown countermeasure"),
        ({"noise_seeds": [0, 0]}, "--noise-seeds has 0 2 times"),
        ({"methods": ["lsp", "lsp"]}, "--methods has lsp 2 times"),
        ({"methods": ["lsp", "error-minimizing:max-rounds="]}, "'max-rounds=' is no option"),
        ({"methods": ["random:epsilon=8/255", "random:epsilon-8/255"]}, "is there twice"),
    ],
)
def test_a_mistake_is_said_before_anything_starts(tmp_path, given, said):
    with pytest.raises(UserError) as raised:
        resolve("board", str(tmp_path / "out"), given)
    assert said in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_budget_of_its_own_is_kept(tmp_path):
    methods = ["ops", "cuda:kernel-size=9", "lsp"]
    assert (
        resolve("board", str(tmp_path / "out"), {"methods": methods, "epsilon": "4/255"}).experiment.methods == methods
    )
    with pytest.raises(UserError, match="--methods: 'ops:epsilon=8/255': --epsilon does not go with method ops"):
        resolve("board", str(tmp_path / "out"), {"methods": ["ops:epsilon=8/255"]})


def test_its_options_are_for_it_alone(tmp_path):
    with pytest.raises(UserError, match="--methods is for the board: mixtures has no use for it"):
        resolve("mixtures", str(tmp_path / "out"), {"methods": ["lsp"]})


def test_victims_are_strong_unless_asked_otherwise(tmp_path):
    job = resolve("board", str(tmp_path / "out"), {"methods": ["lsp"], "noise_seeds": [3], "recipe": None})
    assert job.options.recipe == "fast"
    assert (job.experiment.methods, job.experiment.noise_seeds) == (["lsp"], [3])
    assert job.experiment.countermeasures == EXPERIMENTS["board"].countermeasures
    assert resolve("board", str(tmp_path / "out"), {"recipe": "paper"}).options.recipe == "paper"
    assert resolve("mixtures", str(tmp_path / "out"), {"scale": "paper"}).options.recipe == "paper"


def test_every_arm_is_in_one_cell():
    labels = [label for row in BOARD.layout().values() for cell in row["cells"].values() for label in cell]
    assert sorted(labels) == sorted(arm.label for arm in BOARD.arms(SCALES["small"]))
    assert [recipe.options["seed"] for recipe in BOARD.recipes()] == [0, 1, 0, 1]


def test_rows_are_sorted_by_what_is_left():
    clean, first, second = rows(made())
    assert [clean.name, first.name, second.name] == ["clean", "lsp", "gratings"]
    assert first.mean == pytest.approx(0.25)
    assert first.left == pytest.approx((0.25 / 0.8 + 0.25 / 0.6) / 2)
    assert first.cells["none"].worst == pytest.approx(0.3)
    assert first.leaking == 0.5
    assert second.worst == "grayscale"
    assert second.left == pytest.approx((0.15 / 0.8 + 0.55 / 0.6) / 2)
    assert clean.left == 1
    assert best([clean, first, second]) == {"none": "gratings", "grayscale": "lsp"}


def test_the_text_marks_the_best():
    text = board_text(made(), "on this machine")
    assert "| trained on | mean | left, % | worst | none | grayscale | classes that leak | crafting, s |" in text
    assert "| clean | 70.0 | 100.0 |  | 80.0 / 80.0 | 60.0 / 60.0 | 0.0 |  |  |  |" in text
    lsp = "| lsp | 25.0 | 36.5 | 41.7, grayscale | 25.0 ± 7.1 / 25.0 | **25.0 ± 7.1 / 25.0** | 0.5 | 0 | 31.0 | 0.950 |"
    assert lsp in text
    assert text.endswith("on this machine\n")


def test_the_page_is_whole_and_self_contained():
    page = Page(board_page(made()))
    page.check_self_contained()
    for words in (
        "lsp leaves 36.5 % of the clean accuracy, the least of 2.",
        "25.0 ± 7.1 / 25.0",
        "31.0",
        "0.950",
        NASTY,
    ):
        assert words in page.words
    assert page.all("td", "class").count("best") == 2
    page.check_policy()
    assert page.all("input", "id") == ["by1", "by2", "by3", "by4", "by5"]
    assert page.all("tr", "style")[2:] == [  # as they come: lsp, gratings
        "--by1: 1;--by2: 1;--by3: 1;--by4: 2;--by5: 1;",
        "--by1: 2;--by2: 2;--by3: 2;--by4: 1;--by5: 2;",
    ]
    assert page.all("i", "style") == ["--share: 36.5%", "--share: 55.2%"]
    assert page.all("polyline", "class").count("clean") == 2


def test_of_many_methods_there_are_several_charts():
    board = replace(BOARD, methods=[f"gratings:cells={cells}" for cells in range(2, 12)])
    page = Page(board_page(made(board, {"clean": (0.8, 0.6), **dict.fromkeys(board.methods, (0.1, 0.2))})))
    assert [caption in page.words for caption in ("grayscale, 1", "grayscale, 2")] == [True, True]
    assert page.all("polyline", "class").count("clean") == 4
