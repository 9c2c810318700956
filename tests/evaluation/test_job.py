"""Which options each input of an evaluation is opened with."""

from pathlib import Path

import pytest

from ue_ray.errors import UserError
from ue_ray.evaluation.job import resolve
from ue_ray.storage.inputs.builtin import BuiltinSource
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.inputs.selection import ClassChoice, SelectedSource, Selection


def test_images_are_selected_for_training_and_never_for_testing(photos: Path, outputs: Path, tmp_path: Path):
    uris = {"clean": str(photos), "protected": str(outputs / "parquet"), "test": str(photos)}
    job = resolve(uris, str(tmp_path / "out"), {"classes": "ada,Bob", "per_class": 3})
    choice = ClassChoice("--classes", ("ada", "Bob"), text="ada,Bob")
    assert job.sources["clean"].selection == Selection(choice, 3)
    assert job.sources["protected"] == SelectedSource(OutputSource(uris["protected"]), Selection(None, 3))
    assert not isinstance(job.sources["test"], SelectedSource), "its classes follow from those of --clean"
    clean, protected = (job.sources[role].list().table["sample_id"].to_pylist() for role in ("clean", "protected"))
    assert len(set(clean) & set(protected)) >= 5


def test_a_data_directory_is_for_what_is_known_by_name(outputs: Path, photos: Path, tmp_path: Path):
    uris = {"clean": "cifar10", "protected": str(outputs / "parquet"), "test": "cifar10-test"}
    job = resolve(uris, str(tmp_path / "out"), {"data_dir": str(tmp_path)})
    assert job.sources["clean"] == BuiltinSource("cifar10", str(tmp_path))
    assert job.sources["test"] == BuiltinSource("cifar10-test", str(tmp_path))
    with pytest.raises(UserError, match=r"is no data set known by name \(mnist5k, .*--data-dir"):
        resolve({**uris, "clean": str(photos), "test": str(photos)}, str(tmp_path / "out"), {"data_dir": str(tmp_path)})


def test_the_classes_that_are_protected_are_known_from_the_manifest(outputs: Path, photos: Path, tmp_path: Path):
    uris = {"clean": str(photos), "protected": str(outputs / "parquet"), "test": str(photos)}
    assert resolve(uris, str(tmp_path / "out"), {}).noise["only"] is None
