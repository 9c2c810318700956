"""RecordIO as an input: MXNet's files, insightface's layout, and what can be wrong with either."""

import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ue_ray.errors import ReadFailure, UserError
from ue_ray.images.codec import decode
from ue_ray.storage.filesystem import join, open_store, write_bytes
from ue_ray.storage.inputs import pieces, recordio
from ue_ray.storage.inputs.first_look import first_look
from ue_ray.storage.inputs.listing import sample_id
from ue_ray.storage.inputs.open_source import glance, open_source
from ue_ray.storage.inputs.record_file import framed
from ue_ray.storage.inputs.recordio import RecordSource
from ue_ray.storage.store import OutOfReach

GOLDEN = Path(__file__).parent.parent / "recordio"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "expected.json").read_text())
FACES = EXPECTED["faces/train.rec"]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(GOLDEN / "faces", tmp_path / "faces"))


def digests(source: RecordSource, rows: pa.Table) -> list[str | ReadFailure]:
    return [
        image if isinstance(image, ReadFailure) else hashlib.sha256(image).hexdigest() for image in source.read(rows)
    ]


def refused(uri: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(uri)).list()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def record(label: float | list[float], image: bytes) -> bytes:
    labels = label if isinstance(label, list) else []
    head = struct.pack("<IfQQ", len(labels), 0 if labels else label, 0, 0)
    return framed(head + struct.pack(f"<{len(labels)}f", *labels) + image)


def test_faces_are_listed_and_read_as_mxnet_does():
    source = open_source(str(GOLDEN / "faces"))
    assert isinstance(source, RecordSource)
    listing = source.list()
    images = FACES[1:10]
    assert listing.table["key"].to_pylist() == [f"train.rec#{image['key']}" for image in images]
    assert listing.table["sample_id"].to_pylist() == [sample_id(f"train.rec#{number}") for number in range(1, 10)]
    assert listing.labels().tolist() == [image["labels"][0] for image in images]
    assert listing.class_names == ["0", "1", "2"]
    assert listing.own_numbers
    assert listing.note == "4 of the 13 records of train.rec name its identities and hold no image"
    assert digests(source, listing.table) == [image["sha256"] for image in images]
    assert decode(next(iter(source.read(listing.table)))).rgb.shape == (16, 16, 3)


def test_any_rows_in_any_order():
    source = RecordSource(str(GOLDEN / "faces" / "train.rec"))
    table = source.list().table
    order = np.random.default_rng(0).permutation(9)
    assert digests(source, table.take(order)) == [FACES[1 + row]["sha256"] for row in order]
    assert digests(source, table.take([4, 4, 0])) == [FACES[row]["sha256"] for row in (5, 5, 1)]
    assert digests(source, table.slice(2, 0)) == []


def test_an_index_is_not_needed_and_changes_nothing(faces: Path):
    with_index = open_source(str(faces)).list()
    (faces / "train.idx").unlink()
    assert open_source(str(faces)).list().fingerprint() == with_index.fingerprint()
    assert open_source(str(faces / "train.rec")).list().fingerprint() == with_index.fingerprint()


def test_shuffled_keys_are_listed_in_the_order_of_the_file(tmp_path: Path):
    listing = open_source(str(GOLDEN / "plain")).list()
    assert listing.labels().tolist() == [key % 2 for key in (3, 0, 4, 1)]
    assert listing.class_names == ["0", "1"]  # no property
    assert listing.note == ""


def test_elsewhere_than_on_disk():
    for name in ("train.rec", "train.idx", "property"):
        write_bytes(f"memory://recordio/faces/{name}", (GOLDEN / "faces" / name).read_bytes())
    source = open_source("memory://recordio/faces")
    listing = source.list()
    assert listing.fingerprint() == open_source(str(GOLDEN / "faces")).list().fingerprint()
    assert digests(source, listing.table) == [image["sha256"] for image in FACES[1:10]]


@pytest.mark.store
def test_record_files_in_a_bucket(bucket: str, tmp_path: Path):
    for name in ("train.rec", "train.idx", "property"):
        write_bytes(join(bucket, "faces", name), (GOLDEN / "faces" / name).read_bytes())
    local = open_source(str(GOLDEN / "faces")).list()
    for place in (join(bucket, "faces"), join(bucket, "faces", "train.rec")):
        source = open_source(place)
        glance(source)
        assert source.list().fingerprint() == local.fingerprint()
        assert digests(source, source.list().table) == [image["sha256"] for image in FACES[1:10]]
    write_bytes(join(bucket, "faces", "train.rec"), (GOLDEN / "faces" / "train.rec").read_bytes()[:3000])
    assert len([image for image in source.read(local.table) if isinstance(image, ReadFailure)]) == 5


def test_several_files_are_splits_or_one_input(faces: Path):
    shutil.copy(GOLDEN / "plain" / "val.rec", faces / "val.rec")
    assert open_source(str(faces)) == RecordSource(str(faces / "train.rec"), "train", ("train", "val"))
    assert len(open_source(str(faces), split="val").list()) == 4
    (faces / "train.rec").rename(faces / "b.rec")
    (faces / "train.idx").unlink()
    (faces / "val.rec").rename(faces / "a.rec")
    listing = open_source(str(faces)).list()
    assert listing.table["key"].to_pylist()[3:5] == ["a.rec#3", "b.rec#1"]
    assert len(set(listing.table["sample_id"].to_pylist())) == 13
    source = open_source(str(faces))
    assert digests(source, listing.table.slice(3, 2)) == [
        EXPECTED["plain/val.rec"][3]["sha256"],
        FACES[1]["sha256"],
    ]
    (faces / "a.rec").write_bytes(b"")
    assert refused(faces) == f"{faces}: a.rec: is empty"


def test_options_of_other_inputs_are_refused():
    for options in ({"labels": "{label}/*"}, {"image_column": "x"}, {"follow_links": True}):
        with pytest.raises(UserError, match="is RecordIO"):
            open_source(str(GOLDEN / "faces"), **options)
    with pytest.raises(UserError, match="no split 'test'; choose train"):
        open_source(str(GOLDEN / "faces"), split="test")
    with pytest.raises(UserError, match="is one file; --split 'test' cannot be used with it"):
        open_source(str(GOLDEN / "faces" / "train.rec"), split="test")


def test_of_a_cut_file_all_whole_records_are_read(faces: Path):
    path = faces / "train.rec"
    path.write_bytes(path.read_bytes()[:3000])  # inside record 5
    for index in (True, False):
        if not index:
            (faces / "train.idx").unlink()
        source = open_source(str(faces))
        glance(source)
        listing = source.list()
        assert listing.note == (
            "train.rec is cut after 3,000 bytes; its 5 whole records are read; "
            f"1 of the {13 if index else 6} records of train.rec name its identities and hold no image"
        )
        lost = [ReadFailure("the file ends inside this record")]
        if index:  # which names those behind
            lost += [ReadFailure("the file ends before this record, which its .idx names")] * 7
        assert digests(source, listing.table) == [image["sha256"] for image in FACES[1:5]] + lost
        assert listing.labels().tolist() == [0, 0, 0, 1] + [-1] * len(lost)
        assert listing.table["key"].to_pylist()[4] == "train.rec#5"


def test_an_index_of_another_file_is_refused(faces: Path):
    shutil.copy(GOLDEN / "plain" / "val.idx", faces / "train.idx")
    path = faces / "train.rec"
    assert refused(path) == (
        f"{path}: train.idx is the index of another file: no record begins at byte 708; "
        "remove it (it is not needed), or put the right one there"
    )
    (faces / "train.idx").write_text("0\t0\n1\t40\n")
    assert "train.idx is the index of another file, or cut: it leaves out 11 of the 13 records" in refused(path)
    for text in ("", "0 0\n1 40\n", "0\tx\n", "0\t0\t0\n", "\x00\xff\xfe"):
        (faces / "train.idx").write_text(text, "latin-1")
        assert "train.idx: cannot be read: " in refused(path)
        assert "expected key, tab, offset in each line" in refused(path)


def test_an_index_names_what_a_damaged_place_held(faces: Path):
    path = faces / "train.rec"
    data = bytearray(path.read_bytes())
    data[700:3000] = bytes(2300)  # from the end of record 1 into record 5
    path.write_bytes(data)
    source = open_source(str(faces))
    listing = source.list()
    assert "train.rec is damaged in 4 places" in listing.note
    found = digests(source, listing.table)
    assert found[1:5] == [ReadFailure("damaged: these bytes are no record")] * 4
    assert found[5:] == [image["sha256"] for image in FACES[6:10]]
    assert len(listing) == 9


def test_what_is_no_image_record_ends_as_a_reason(tmp_path: Path):
    records = [
        record(0, b"a"), record(1, b""), record([2, 9], b"b"), record(float("nan"), b"c"), record(0.5, b"d"),
        record(-1, b"e"), record(float("inf"), b"f"), record(2e6, b"g"), record([0, 1], b""), record([1], b"h"),
        framed(b"no header"),
    ]  # fmt: skip
    (tmp_path / "x.rec").write_bytes(b"".join(records))
    source = open_source(str(tmp_path))
    listing = source.list()
    no_class = ReadFailure("its label is not the number of a class")
    no_image = ReadFailure("a record without an image")
    assert list(source.read(listing.table)) == [
        b"a", no_image, b"b", *[no_class] * 5, no_image, b"h", ReadFailure("damaged: shorter than its header says")
    ]  # fmt: skip
    assert listing.labels().tolist() == [0, -1, 2, -1, -1, -1, -1, -1, -1, 1, -1]
    assert listing.class_names == ["0", "1", "2"]


def test_property_says_how_many_classes_there_are(faces: Path):
    (faces / "property").write_text("5,16,16")
    assert open_source(str(faces)).list().class_names == list("01234")
    (faces / "property").write_text("2,16,16")
    assert "property says 2 classes, but there is a label 2" in open_source(str(faces)).list().note
    for text in ("many", "", "3,16", f"{10**12},16,16"):
        (faces / "property").write_text(text)
        listing = open_source(str(faces)).list()
        assert "property is not read: expected classes,height,width, such as 10572,112,112" in listing.note
        assert listing.class_names == ["0", "1", "2"]
    (faces / "property").unlink()
    (faces / "property").mkdir()
    assert "property cannot be read: " in open_source(str(faces)).list().note


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"PK\3\4" * 100, r"is no RecordIO file: it does not begin with a record \(0a 23 d7 ce\)"),
        (record([2, 3], b"") + record([1, 2], b""), "2 of the 2 records of x.rec name its identities and hold no im"),
        (record(0.5, b"a"), "holds samples of no class"),
    ],
)
def test_what_cannot_be_protected_is_refused_at_a_glance(data: bytes, reason: str, tmp_path: Path):
    (tmp_path / "x.rec").write_bytes(data)
    for place in (tmp_path, tmp_path / "x.rec"):
        with pytest.raises(UserError, match=rf"x\.rec.*{reason}"):
            glance(open_source(str(place)))


def test_a_large_file_is_only_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recordio, "GLANCE_BYTES", 100)
    (tmp_path / "x.rec").write_bytes(record(0.5, bytes(200)))
    glance(open_source(str(tmp_path)))
    (tmp_path / "x.rec").write_bytes(bytes(200))
    with pytest.raises(UserError, match="is no RecordIO file"):
        glance(open_source(str(tmp_path)))


def test_a_class_without_a_readable_image_is_dropped_and_numbers_stay(tmp_path: Path, faces: Path):
    images = list(RecordSource(str(faces)).read(RecordSource(str(faces)).list().table))
    (tmp_path / "x.rec").write_bytes(record(0, images[0]) + record(1, b"no image") + record(2, images[1]))
    source = open_source(str(tmp_path))
    look = first_look(source, source.list())
    assert look.dropped == {"1": 1}
    assert look.listing.labels().tolist() == [0, -1, 2]
    assert look.listing.class_names == ["0", "1", "2"]


def test_a_file_that_changed_or_went_after_it_was_listed(faces: Path):
    source = RecordSource(str(faces / "train.rec"))
    rows = source.list().table
    data = (faces / "train.rec").read_bytes()
    (faces / "train.rec").write_bytes(data[:756] + bytes(10) + data[766:])
    found = digests(source, rows)
    assert found[1] == ReadFailure("cannot read: the file has changed since it was listed")
    assert found[2:] == [image["sha256"] for image in FACES[3:10]]
    (faces / "train.rec").write_bytes(data[:2200])
    found = digests(source, rows)
    assert found[:3] == [image["sha256"] for image in FACES[1:4]]
    assert found[3:] == [ReadFailure("cannot read: shorter than expected")] * 6
    (faces / "train.rec").unlink()
    with pytest.raises(OutOfReach, match="no longer there"):
        list(source.read(rows))


def test_neighbours_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "x.rec").write_bytes(b"".join(record(number % 2, bytes(5000)) for number in range(100)))
    source = open_source(str(tmp_path))
    table = source.list().table
    store, asked = open_store(source.uri), []
    read_range = type(store).read_range

    def counted(self, name: str, start: int, count: int) -> bytes:
        asked.append(count)
        return read_range(self, name, start, count)

    monkeypatch.setattr(type(store), "read_range", counted)
    assert len(list(source.read(table))) == 100
    assert asked == [100 * 5032]
    asked.clear()
    assert len(list(source.read(table.take([0, 50, 51, 99, 3])))) == 5
    assert sorted(asked) == [5032, 5032, 5032, 2 * 5032]
    monkeypatch.setattr(pieces, "SPAN_BYTES", 20_000)
    asked.clear()
    assert len(list(source.read(table))) == 100
    assert len(asked) == 34
    assert sum(asked) == 100 * 5032
