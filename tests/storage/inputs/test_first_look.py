"""Classes count when an image of them can be read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ue_ray.errors import UserError
from ue_ray.images.codec import encode
from ue_ray.storage.inputs import first_look as module
from ue_ray.storage.inputs.first_look import FirstLook, first_look
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Rejected, decode_rows

PICTURE = encode(np.zeros((6, 4, 3), np.uint8))


def look(uri: Path) -> FirstLook:
    source = open_source(str(uri))
    return first_look(source, source.list())


def put(root: Path, **counts: int) -> None:
    """So many files a class; of a negative number none is an image."""
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for number in range(abs(count)):
            (root / label / f"{number:03}").write_bytes(PICTURE if count > 0 else b"no image")


def test_a_class_without_a_readable_image_is_named_and_dropped(tmp_path: Path):
    put(tmp_path, ada=2, bob=1, cam=-1, notes=-70, zoe=3)
    found = look(tmp_path)
    assert found.listing.class_names == ["ada", "bob", "zoe"]
    assert found.listing.labels().tolist() == [0, 0, 1, *[-1] * 71, 2, 2, 2]
    assert found.dropped == {"cam": 1, "notes": 70}
    assert found.note.startswith(
        "not a class, because no image in it can be read: cam (1 file), notes (70 files), such as cam/000: "
    )
    assert found.shapes == [(6, 4)] * len(found.shapes)


def test_its_files_are_rejected_for_what_they_are_and_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path, ada=1, bob=1, notes=-2)
    found = look(tmp_path)
    source = open_source(str(tmp_path))
    plain = [entry.reason for entry in decode_rows(source, source.list().table) if isinstance(entry, Rejected)]
    (tmp_path / "notes/000").unlink()
    entries = list(decode_rows(source, found.listing.table))
    assert [entry.reason for entry in entries if isinstance(entry, Rejected)] == plain
    assert len(entries) == 4
    assert plain[0] != "has no label"


def test_one_image_after_many_files_that_are_none_makes_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SPREAD", 1)
    monkeypatch.setattr(module, "MOST_A_CLASS", 8)
    put(tmp_path, ada=1, bob=-50)
    (tmp_path / "bob/zzz").write_bytes(PICTURE)
    assert look(tmp_path).dropped == {}


def test_a_class_has_to_be_left(tmp_path: Path):
    put(tmp_path, ada=2, notes=-3)
    assert look(tmp_path).listing.class_names == ["ada"]
    put(tmp_path / "none", a=-2, b=-2)
    with pytest.raises(UserError, match=r"none: no image can be read: 4 files, such as a/000: "):
        look(tmp_path / "none")


def test_numbers_of_the_inputs_own_stay(tmp_path: Path):
    images = [PICTURE, b"no image", PICTURE, b"no image"]
    pq.write_table(pa.table({"image": images, "label": [0, 1, 3, 1]}), tmp_path / "x.parquet")
    found = look(tmp_path / "x.parquet")
    assert found.listing.class_names == ["0", "1", "2", "3"]
    assert found.listing.labels().tolist() == [0, -1, 3, -1]
    assert found.dropped == {"1": 2}
    pq.write_table(pa.table({"image": images, "label": ["a", "b", "d", "b"]}), tmp_path / "x.parquet")
    assert look(tmp_path / "x.parquet").listing.class_names == ["a", "d"]


def test_only_one_image_of_a_class_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SPREAD", 2)
    read = []
    monkeypatch.setattr(
        module, "decode_rows", lambda source, rows, handling: decode_rows(source, _counted(rows, read), handling)
    )
    put(tmp_path, ada=30, bob=30, cam=30, dan=30)
    look(tmp_path)
    assert sum(read) == 2 + 2


def test_of_many_classes_only_some_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SPREAD", 1)
    monkeypatch.setattr(module, "MOST_CLASSES", 3)
    put(tmp_path, **{f"user{number}": -2 for number in (0, 1, 2, 3, 5, 6)}, user4=1)
    found = look(tmp_path)
    assert found.dropped == {"user0": 2, "user3": 2, "user6": 2}
    assert found.listing.class_names == ["user1", "user2", "user4", "user5"]


def _counted(rows: pa.Table, counts: list[int]) -> pa.Table:
    counts.append(rows.num_rows)
    return rows
