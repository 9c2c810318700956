"""An experiment on a real local Ray, on two classes that differ in their tint."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.distributed.test_evaluate import tinted  # noqa: F401
from ue_ray.distributed.reproduce import ReproduceConfig, reproduce
from ue_ray.errors import FaultsFound, UserError
from ue_ray.experiments import SCALES

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
    config = ReproduceConfig("mixtures", str(tmp_path / "out"), data=str(data), seeds="0,1")
    with pytest.raises(FaultsFound, match="orderings do not show"):  # of two epochs nothing can be asked
        reproduce(config)
    folder = tmp_path / "out" / "mixtures"
    results = json.loads((folder / "results.json").read_text())
    assert list(results["runs"]) == ["clean", "one of two class-wise noises", "class-wise plus random"]
    assert [[run["seed"] for run in runs] for runs in results["runs"].values()] == [[0, 1]] * 3
    assert [sum(map(sum, run["confusion"])) for run in results["runs"]["clean"]] == [20, 20]
    assert len(results["class_names"]) == 2
    assert "| clean |" in (folder / "report.md").read_text()
    assert f"report: {folder / 'report.html'}" in capsys.readouterr().out
    assert "one of two class-wise noises" in (folder / "report.html").read_text()
    assert len(list((tmp_path / "out" / "victims" / "runs").iterdir())) == 6
    with pytest.raises(FaultsFound):
        reproduce(config)
    assert "victims: 0 trained (6 kept)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"experiment": "table-1"}, "unknown experiment 'table-1': choose one of noise-types"),
        ({"seeds": "one"}, "whole numbers"),
        ({"augmentation": "cutout"}, "crop-flip, crop, none"),
        ({"data": "nowhere"}, "nowhere"),
    ],
)
def test_mistakes_are_one_line_before_anything_starts(data, tmp_path, change, said):
    good = {"experiment": "mixtures", "output": str(tmp_path / "out"), "data": str(data)}
    with pytest.raises(UserError) as caught:
        reproduce(ReproduceConfig(**{**good, **change}))
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()
