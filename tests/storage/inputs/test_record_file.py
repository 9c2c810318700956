"""RecordIO's framing, held against files of MXNet's own writer, and files that are cut, damaged or made by others."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ue_ray.storage.inputs import record_file
from ue_ray.storage.inputs.record_file import (
    CUT,
    DAMAGED,
    SHORT,
    WHOLE,
    Records,
    content_of,
    find_records,
    framed,
    image_of,
)

GOLDEN = Path(__file__).parent.parent / "recordio"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "expected.json").read_text())
MAGIC = struct.pack("<I", 0xCED7230A)

every_file = pytest.mark.parametrize("name", EXPECTED)


def found(data: bytes) -> Records:
    return find_records(lambda start, count: data[start : start + count], len(data))


def part(content: bytes, kind: int = 0) -> bytes:
    """By the published format, not by the code that is tested."""
    return MAGIC + struct.pack("<I", kind << 29 | len(content)) + content + bytes(-len(content) % 4)


def header(label: float, flag: int = 0) -> bytes:
    return struct.pack("<IfQQ", flag, label, 0, 0)


@every_file
def test_records_are_where_mxnet_says_and_hold_what_it_reads(name: str):
    data = (GOLDEN / name).read_bytes()
    records, expected = found(data), sorted(EXPECTED[name], key=lambda record: record["offset"])
    assert records.starts.tolist() == [record["offset"] for record in expected]
    assert records.flags.tolist() == [record["flag"] for record in expected]
    assert records.labels.tolist() == [record["labels"][0] for record in expected]
    assert set(records.states.tolist()) == {WHOLE}
    for start, size, length, record in zip(records.starts, records.sizes, records.image_bytes, expected, strict=True):
        image = image_of(data[start : start + size])
        assert (hashlib.sha256(image).hexdigest(), len(image)) == (record["sha256"], length)


@every_file
def test_what_is_framed_is_what_mxnet_wrote(name: str):
    data = (GOLDEN / name).read_bytes()
    records = found(data)
    stretches = [data[start : start + size] for start, size in zip(records.starts, records.sizes, strict=True)]
    assert [framed(content_of(stretch)) for stretch in stretches] == stretches
    assert sum(stretch.count(MAGIC) > 1 for stretch in stretches) >= (name != "plain/val.rec")  # some are in parts


@every_file
def test_wherever_a_file_is_cut_the_records_before_are_whole(name: str):
    data = (GOLDEN / name).read_bytes()
    whole = found(data)
    for size in range(8, len(data), 5):
        records = found(data[:size])
        before = int(np.searchsorted(whole.starts + whole.sizes, size, side="right"))
        assert records.starts[:before].tolist() == whole.starts[:before].tolist()
        assert (records.states[:before] == WHOLE).all()
        assert records.sizes.sum() == size
        assert len(records.states) - before <= 1
        # What lacks only the bytes that fill it up is whole.
        left = size - (whole.starts[before] + whole.sizes[before])
        assert left >= -3 or (records.states[before:] == CUT).all(), size


def test_chunks_leave_no_trace(monkeypatch: pytest.MonkeyPatch):
    data = (GOLDEN / "faces" / "train.rec").read_bytes()
    whole = found(data)
    for size in (4, 8, 36, 40, 256):
        monkeypatch.setattr(record_file, "CHUNK_BYTES", size)
        assert all(np.array_equal(*columns) for columns in zip(found(data), whole, strict=True)), size


def test_each_byte_is_read_once_and_little_more(monkeypatch: pytest.MonkeyPatch):
    data = b"".join(framed(header(number) + bytes(5000)) for number in range(200))
    monkeypatch.setattr(record_file, "CHUNK_BYTES", 1 << 16)
    asked: list[int] = []

    def read(start: int, count: int) -> bytes:
        asked.append(count)
        return data[start : start + count]

    assert len(find_records(read, len(data)).starts) == 200
    assert sum(asked) < 1.001 * len(data)


def test_the_magic_number_in_the_header_itself():
    content = struct.pack("<IfQQ", 0, 7, 0xCED7230A, 0) + b"image"
    [size], [label] = found(framed(content)).sizes, found(framed(content)).labels
    assert (content_of(framed(content)), size, label) == (content, len(framed(content)), 7)
    content = struct.pack("<IfQQ", 0xCED7230A, 0, 0, 0)  # as the number of labels
    assert found(framed(content)).states.tolist() == [SHORT]
    content = struct.pack("<IfQQff", 2, 0, 0, 0xCED7230A, 5, 6) + b"image"
    assert (found(framed(content)).labels.tolist(), image_of(framed(content))) == ([5], b"image")


def test_a_writer_that_does_not_split_is_read_all_the_same():
    data = part(header(1) + b"abcd" + MAGIC + bytes(8)) + part(header(2) + MAGIC + MAGIC) + part(header(3) + b"e")
    records = found(data)
    assert records.labels.tolist() == [1, 2, 3]
    assert set(records.states.tolist()) == {WHOLE}


@pytest.mark.parametrize(
    ("data", "states"),
    [
        (part(header(1) + b"a") + b"garbage!" + part(header(2) + b"b"), [WHOLE, DAMAGED, WHOLE]),
        (part(header(1) + b"a") + bytes(64), [WHOLE, DAMAGED]),
        (part(header(1) + b"a") + b"\n", [WHOLE, CUT]),
        (part(header(1) + bytes(100))[:60] + part(header(2) + b"b"), [DAMAGED, WHOLE]),
        (part(header(1) + b"a", 1) + part(header(2) + b"b"), [DAMAGED, WHOLE]),
        (part(b"b", 3) + part(header(2) + b"b"), [DAMAGED, WHOLE]),
        (part(header(1) + b"a", 1) + part(b"b", 2) + part(header(2) + b"b"), [DAMAGED, WHOLE]),
        (part(header(1) + b"abcd", 1) + part(b"b", 2), [CUT]),
        (part(header(1, flag=3) + b"12345678"), [SHORT]),
        (part(b"short"), [SHORT]),
        (part(b""), [SHORT]),
    ],
)
def test_damage_stays_where_it_is(data: bytes, states: list[int]):
    records = found(data)
    assert records.states.tolist() == states
    assert records.sizes.sum() == len(data)


@pytest.mark.parametrize("data", [b"", b"PK\3\4" * 9, bytes(4) + part(header(1))])
def test_what_does_not_begin_with_a_record_is_no_record_file(data: bytes):
    with pytest.raises(ValueError, match="does not begin with a record"):
        found(data)


def test_what_is_no_whole_record_is_refused():
    record = part(header(1) + b"image", 0)
    for wrong in (b"", record[4:], record[:-4], part(b"a", 3), part(b"a", 1) + part(b"b", 0), part(b"a", 5)):
        with pytest.raises(ValueError, match="record"):
            image_of(wrong)
    with pytest.raises(ValueError, match="no image record"):
        image_of(part(b"short"))
    with pytest.raises(ValueError, match="RecordIO has at most"):
        framed(bytes(1 << 29))
