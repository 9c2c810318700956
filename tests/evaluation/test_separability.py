"""benchmarks/separability.py on a toy."""

import json

import numpy as np
import pytest

from benchmarks import separability
from benchmarks.separability import Options, between_and_within, correlations, linear, main, spearman, tables, waves
from tests.experiments.test_board import made
from ue_ray.experiments.board import Board

HANDLINGS = ("none", "grayscale")
MEASURES = set(separability.MEASURES)


@pytest.fixture
def options(tmp_path):
    return Options("", str(tmp_path / "out.json"), "digits", 200, ("gratings:cells=2", "random", "ops"), HANDLINGS)


def test_a_record_has_every_noise_after_every_handling(options, capsys):
    main(options)
    record = json.loads((file := separability.Path(options.output)).read_text())
    assert list(record["noises"]) == list(options.methods)
    for facts in record["noises"].values():
        assert all(set(facts["handlings"][name]) == MEASURES | {"bands"} for name in HANDLINGS)
    grating = record["noises"]["gratings:cells=2"]["handlings"]
    assert grating["none"]["difference"] == 1
    assert grating["none"]["stands_out"] > grating["grayscale"]["stands_out"] > 0
    assert record["noises"]["ops"]["budget"] == "1 pixel (l0)"
    assert "| gratings:cells=2 | 100 | " in capsys.readouterr().out
    before = file.stat().st_mtime_ns
    main(options)
    assert file.stat().st_mtime_ns == before  # nothing is measured again


def test_what_is_rank_correlated_to_a_boards_victims():
    board = Board(("gratings", "lsp", "pil"), HANDLINGS, (0,))
    finals = {"clean": (0.8, 0.6), "gratings": (0.1, 0.5), "lsp": (0.2, 0.4), "pil": (0.3, 0.6)}
    values = {"gratings": 9.0, "lsp": 8.0, "pil": 7.0, "ops": 1.0}
    noises = {
        name: {"handlings": {column: dict.fromkeys(MEASURES, value) for column in HANDLINGS}}
        for name, value in values.items()
    }
    found = correlations(noises, separability.accuracies(made(board, finals)))
    assert found["images"]["none"] == {"n": 3, "spearman": -1.0}
    assert found["images"]["grayscale"] == {"n": 3, "spearman": -0.5}
    assert found["images"]["all"]["n"] == 6
    text = tables({"settings": {"handlings": HANDLINGS}, "noises": noises, "victims": found})
    assert "| images | -1.0 (n = 3) | -0.5 (n = 3) |" in "\n".join(text)


def test_spearman_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (2, 20))
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-3)
    assert spearman([1, 2], [1, 2]) is None
    assert spearman([1, 1, 1], [1, 2, 3]) is None


def test_the_transform_is_scipys():
    fft = pytest.importorskip("scipy.fft")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    brightness = fft.dctn(images.sum(3) / np.sqrt(3), axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(waves(images)[:, 0], brightness)
    assert (waves(images) ** 2).sum() == pytest.approx((images**2).sum())


def test_noise_without_a_code_does_not_stand_out():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    change, clean = rng.normal(0, 2, (400, 3, 8, 8)), rng.normal(0, 20, (400, 3, 8, 8))
    code, content = between_and_within(change, clean, labels)
    assert abs(code.mean()) < 0.005  # of 4, the variance of the noise
    assert content.mean() == pytest.approx(400, rel=0.05)
    code, _ = between_and_within(change + labels[:, None, None, None], clean, labels)
    assert code.mean() == pytest.approx(np.var(range(4), ddof=1), rel=0.05)


def test_the_classifier_tells_what_is_linear_and_guesses_where_nothing_is_left():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.normal(size=(60, 20)) + 8 * np.eye(20)[labels]
    assert (linear(images[:30], labels[:30], images[30:]) == labels[30:]).mean() > 0.9
    assert (linear(np.zeros((6, 4)), labels[:6], np.zeros((3, 4))) == 0).all()
