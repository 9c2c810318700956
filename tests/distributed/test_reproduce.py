"""An experiment on a real local Ray, on two classes that differ in their tint."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.distributed.test_evaluate import tinted  # noqa: F401
from ue_ray.cli.reproduce import command
from ue_ray.distributed.reproduce import reproduce
from ue_ray.errors import FaultsFound, UserError
from ue_ray.experiments import SCALES, faces, transfer
from ue_ray.storage.inputs.committed import OutputSource

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture(scope="module")
def data(tinted, tmp_path_factory):  # noqa: F811
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "test"):
        files = sorted((tinted / split).glob("*/*.png"))
        labels = [int(path.parent.name == "red") for path in files]
        pq.write_table(
            pa.table({"image": [path.read_bytes() for path in files], "label": labels}), root / f"{split}.parquet"
        )
    return root


def test_an_experiment_is_run_reported_and_not_run_twice(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SCALES, "small", replace(SCALES["small"], epochs=2, batch_size=16))
    run, asked = command().run, {"experiment": "mixtures", "output": str(tmp_path / "out"), "data": str(data)}
    with pytest.raises(FaultsFound, match="orderings do not show"):  # of two epochs nothing can be asked
        run(**asked, seeds="0,1")
    folder = tmp_path / "out" / "mixtures"
    results = json.loads((folder / "results.json").read_text())
    labels = ["one of two class-wise noises", "class-wise plus random"]
    assert list(results["runs"]) == ["clean", *labels, *(f"{label}, fast-autoaugment" for label in labels)]
    assert [[run["seed"] for run in runs] for runs in results["runs"].values()] == [[0, 1]] * 5
    assert [sum(map(sum, run["confusion"])) for run in results["runs"]["clean"]] == [20, 20]
    assert len(results["class_names"]) == 2
    assert {"clean_still_improving", "few_test_images"} & {guard["name"] for guard in results["guards"]}
    assert "Objections:" in (folder / "report.md").read_text()
    assert "| clean |" in (folder / "report.md").read_text()
    assert len(list((tmp_path / "out" / "victims" / "runs").iterdir())) == 10
    assert f"report: {folder / 'report.html'}" in capsys.readouterr().out
    assert "one of two class-wise noises" in (folder / "report.html").read_text()
    reproduction = reproduce(**asked, seeds=[0, 1])
    assert "victims: 0 trained (10 kept)" in capsys.readouterr().err
    assert reproduction.runs == results["runs"]
    assert reproduction.claims == results["claims"]
    assert reproduction.missed
    assert reproduction.report == str(folder / "report.html")


def test_a_board_has_a_cell_for_each_method_and_countermeasure(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SCALES, "small", replace(SCALES["small"], batch_size=16))
    board = reproduce(
        "board", str(tmp_path / "out"), data=str(data), methods=["gratings:cells=8", "random"], epochs=2,
        countermeasures=["none", "grayscale"], noise_seeds=[0, 1],
    )  # fmt: skip
    assert "victims: 10 trained" in capsys.readouterr().err
    assert [len(runs) for runs in board.runs.values()] == [1] * 10
    assert board.missed == []
    assert {"clean", "gratings:cells=8", "random"} == board.results["layout"].keys()
    assert all(30 < noise["psnr"] < 45 and 0 < noise["ssim"] < 1 for noise in board.results["noises"].values())
    assert "| gratings:cells=8 | " in board.text
    assert "The board" in (tmp_path / "out" / "board" / "report.html").read_text()


def test_a_noise_of_other_images_and_a_class_that_is_added_to_them(data, tmp_path, monkeypatch):
    """Of the same files twice, but red is called 0 in the one and 1 in the other: the class map says so."""
    monkeypatch.setitem(SCALES, "small", replace(SCALES["small"], epochs=2, batch_size=16, victims=("resnet9",)))
    monkeypatch.setattr(transfer, "FOUR", (0,))
    monkeypatch.setattr(transfer, "SHIP", (1,))
    other = tmp_path / "other"
    other.mkdir()
    for split in ("train", "test"):
        table = pq.read_table(data / f"{split}.parquet")
        pq.write_table(
            table.set_column(1, "label", pa.array(["oak", "pine"]).take(table["label"])), other / f"{split}.parquet"
        )
    place = tmp_path / "map.json"
    place.write_text(json.dumps({"0": "pine", "1": "oak"}))
    asked = {"data": str(data), "other": str(other), "class_map": str(place), "image_size": 16, "seeds": "0"}
    with pytest.raises(FaultsFound, match="orderings do not show"):
        command().run(experiment="transfer", output=str(tmp_path / "out"), **asked)
    results = json.loads((tmp_path / "out" / "transfer" / "results.json").read_text())
    shapes = {label: np.array(run["confusion"]).sum(1).tolist() for label, (run,) in results["runs"].items()}
    assert shapes["clean, resnet9"] == shapes[transfer.PART] == [10, 10]
    assert shapes[transfer.GUEST.format("clean")] == [10, 10, 10], "the added class is tested, too"
    noises = tmp_path / "out" / "noises"
    laid, crafted = map(OutputSource, sorted(map(str, noises.glob("error-minimizing-class-wise-of-other-*"))))
    assert crafted.list().class_names == ["oak", "pine"]
    assert laid.list().class_names == ["0", "1"]


def test_people_are_verified_in_pairs_and_divided_where_no_one_has(tinted, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(SCALES, "small", replace(SCALES["small"], batch_size=16))
    monkeypatch.setattr(faces, "PEOPLE", (0,))
    with pytest.raises(FaultsFound, match="orderings do not show"):
        command().run(experiment="faces", output=str(tmp_path / "out"), data=str(tinted / "train"), epochs=1, seeds="0")
    results = json.loads((tmp_path / "out" / "faces" / "results.json").read_text())
    assert results["images"] == {"train": 64, "test": 16}, "a fifth of each person's 40"
    keys = {part: pq.read_table(tmp_path / "out" / "parts" / f"{part}.parquet")["key"] for part in ("train", "test")}
    assert not set(keys["train"].to_pylist()) & set(keys["test"].to_pylist())
    for (run,) in results["runs"].values():
        found = run["verification"]["everybody"]
        assert found["pairs"] == 2 * 2 * 28, "of two people with eight photos each"
        assert 0 <= found["auc"] <= 1
        assert found["recognised"] == pytest.approx(run["final_test_accuracy"]), "of as many photos of each"
        assert run["epochs"] == len(run["curve"]) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"experiment": "table-1"}, "unknown experiment 'table-1': choose one of noise-types"),
        ({"seeds": "one"}, "whole numbers"),
        ({"augmentation": "cutout"}, "crop-flip, crop, none"),
        ({"data": "nowhere"}, "nowhere"),
        ({"data": "photos.parquet"}, "photos.parquet: is a file; expected a folder"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"track": "excel"}, "unknown tracker 'excel'"),
        ({"other": "mnist5k"}, "--other is for transfer: mixtures has no use for it"),
        ({"experiment": "transfer"}, "transfer needs --other, a second data set"),
        ({"experiment": "classes"}, "has 2 classes; classes needs at least 9"),
    ],
)
def test_mistakes_are_one_line_before_anything_starts(data, tmp_path, change, said):
    good = {"experiment": "mixtures", "output": str(tmp_path / "out"), "data": str(data)}
    with pytest.raises(UserError) as caught:
        reproduce(**{**good, **change})
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()
