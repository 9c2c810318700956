"""Which images an experiment trains and tests on. No Ray is started."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from ue_ray.distributed.victims import data_parts as module
from ue_ray.distributed.victims.data_parts import Part, data_parts

SELECTED = {"classes": "ada,bob", "per_class": 5}


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    divide = module._divide._function
    monkeypatch.setattr(module, "_divide", SimpleNamespace(options=lambda name: SimpleNamespace(remote=divide)))
    monkeypatch.setattr(module.ray, "get", lambda value: value)


def test_a_selection_is_of_the_training_part(tmp_path: Path):
    def parts(data: str, **options: object) -> tuple[Part, Part]:
        found = data_parts(data, str(tmp_path / "tables"), {**options, **SELECTED})
        return found["train"], found["test"]

    own = {"data_dir": "photos"}
    assert parts("svhn", **own) == (Part("svhn", own | SELECTED), Part("svhn-test", own))
    assert parts("imagenet") == (Part("imagenet", SELECTED), Part("imagenet-val"))
    assert parts("pets", split="big") == (Part("pets", {"split": "big"} | SELECTED), Part("pets", {"split": "test"}))
    for name in ("train", "test"):
        (tmp_path / "pets" / name).mkdir(parents=True)
    place = str(tmp_path / "pets")
    assert parts(place) == (Part(f"{place}/train", SELECTED), Part(f"{place}/test"))


def make_people(root: Path) -> Path:
    for name in ("ada", "bob", "eve"):
        (root / name).mkdir(parents=True)
        for number in range(10):
            (root / name / f"{number}.png").write_bytes(b"x")
    return root


def listed(part: Part) -> dict[str, int]:
    listing = part.source.list()
    return {name: int((listing.labels() == label).sum()) for label, name in enumerate(listing.class_names)}


def test_what_is_selected_is_divided_and_another_selection_anew(tmp_path: Path):
    people, tables = str(make_people(tmp_path / "people")), str(tmp_path / "tables")
    parts = data_parts(people, tables, SELECTED)
    assert {name: listed(part) for name, part in parts.items()} == {
        "train": {"ada": 4, "bob": 4}, "test": {"ada": 1, "bob": 1}
    }  # fmt: skip
    assert listed(data_parts(people, tables, {"classes": "ada,eve"})["train"]) == {"ada": 8, "eve": 8}
    assert listed(data_parts(people, tables, {})["test"]) == {"ada": 2, "bob": 2, "eve": 2}
    assert data_parts(people, tables, SELECTED) == parts


def test_photos_known_by_name_are_divided(tmp_path: Path):
    make_people(tmp_path / "lfw-py" / "lfw_funneled")
    parts = data_parts("lfw", str(tmp_path / "tables"), {"data_dir": str(tmp_path)})
    assert listed(parts["train"]) == {"ada": 8, "bob": 8, "eve": 8}
    assert listed(parts["test"]) == {"ada": 2, "bob": 2, "eve": 2}
