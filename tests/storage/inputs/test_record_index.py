"""A large file of insightface's kind is listed by its index and its identities, and searched where these mislead."""

import struct
from pathlib import Path

import pyarrow as pa
import pytest

from ue_ray.errors import ReadFailure, UserError
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs import record_index
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.record_file import framed

GOLDEN = Path(__file__).parent.parent / "recordio" / "faces"
IMAGE_BYTES = 5000
COUNTS = [3, 0, 40, 7]  # photos of each identity
PHOTOS = sum(COUNTS)


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_index, "LEAST_BYTES", 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The bytes of each request for a part of a file."""
    kind, counts = type(open_store(str(tmp_path))), []
    read_range = kind.read_range

    def counted(self, name: str, start: int, count: int) -> bytes:
        counts.append(count)
        return read_range(self, name, start, count)

    monkeypatch.setattr(kind, "read_range", counted)
    return counts


def image(number: int) -> bytes:
    return struct.pack("<I", number) + bytes(IMAGE_BYTES - 4)


def records(labels: list[float] | None = None, ranges: list[tuple[float, float]] | None = None) -> list[bytes]:
    """A file's records: the header, a photo for each label, and each identity's range of them."""
    owners = [owner for owner, count in enumerate(COUNTS) for _ in range(count)]
    first = PHOTOS + 1
    if ranges is None:
        starts = [1 + sum(COUNTS[:owner]) for owner in range(len(COUNTS))]
        ranges = [(start, start + count) for start, count in zip(starts, COUNTS, strict=True)]

    def content(flag: int, label: float, key: int, rest: bytes) -> bytes:
        return framed(struct.pack("<IfQQ", flag, label, key, 0) + rest)

    return [
        content(2, 0, 0, struct.pack("<ff", first, first + len(ranges))),
        *(content(0, label, key, image(key)) for key, label in enumerate(labels or owners, 1)),
        *(content(2, 0, first + owner, struct.pack("<ff", *of)) for owner, of in enumerate(ranges)),
    ]


def write(folder: Path, parts: list[bytes], keys: list[int] | None = None) -> Path:
    starts = [sum(map(len, parts[:number])) for number in range(len(parts))]
    keys = keys or list(range(len(parts)))
    (folder / "train.rec").write_bytes(b"".join(parts))
    (folder / "train.idx").write_text("".join(f"{key}\t{start}\n" for key, start in zip(keys, starts, strict=True)))
    return folder


def both_ways(folder: Path, asked: list[int]) -> tuple[pa.Table, bool]:
    """The listing, which is the same by a search, and whether the images were left unread."""
    asked.clear()
    found = open_source(str(folder)).list()
    unread = sum(asked) < 0.2 * (folder / "train.rec").stat().st_size
    (folder / "train.idx").rename(folder / "gone")
    searched = open_source(str(folder)).list()
    (folder / "gone").rename(folder / "train.idx")
    assert found.fingerprint() == searched.fingerprint()
    assert found.note == searched.note
    return found.table, unread


def test_a_listing_reads_no_image_and_is_the_same(tmp_path: Path, asked: list[int]):
    table, unread = both_ways(write(tmp_path, records()), asked)
    assert unread
    assert table["label"].to_pylist() == [0] * 3 + [2] * 40 + [3] * 7
    found = list(open_source(str(tmp_path)).read(table))
    assert found == [image(key) for key in range(1, PHOTOS + 1)]


def test_what_mxnet_wrote_is_listed_by_its_identities(monkeypatch: pytest.MonkeyPatch):
    by_identity = open_source(str(GOLDEN)).list()
    monkeypatch.setattr(record_index, "LEAST_BYTES", 1 << 40)
    searched = open_source(str(GOLDEN)).list()
    assert by_identity.fingerprint() == searched.fingerprint()
    assert by_identity.note == searched.note
    assert list(open_source(str(GOLDEN)).read(by_identity.table)) == list(open_source(str(GOLDEN)).read(searched.table))


def test_a_photo_that_is_another_persons_than_listed_is_a_failure(
    tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(record_index, "PROBES", 2)  # the first and the last
    labels: list[float] = [0] * 3 + [2] * 40 + [3] * 7
    labels[20] = 3
    write(tmp_path, records(labels))
    source = open_source(str(tmp_path))
    listing = source.list()
    found = list(source.read(listing.table))
    assert found[20] == ReadFailure("its label is not the one that was listed")
    assert found[:20] + found[21:] == [image(key) for key in range(1, PHOTOS + 1) if key != 21]
    monkeypatch.setattr(record_index, "PROBES", 256)  # all: then the file is searched, and the photo's own word holds
    assert both_ways(tmp_path, asked)[0]["label"].to_pylist() == labels
    assert list(source.read(source.list().table))[20] == image(21)


@pytest.mark.parametrize(
    "ranges",
    [
        [(1, 4), (4, 4), (4, 44), (44, 50)],  # a photo is nobody's
        [(1, 4), (4, 4), (5, 44), (44, 51)],
        [(0, 4), (4, 4), (4, 44), (44, 51)],
        [(4, 44), (4, 4), (1, 4), (44, 51)],  # identities in another order
        [(1, float("nan")), (float("nan"), 4), (4, 44), (44, 51)],
        [(1, 2.5), (2.5, 4), (4, 44), (44, 51)],
        [(1, 3), (3, 4), (4, 44), (44, 51)],  # a photo is somebody else's than it says
    ],
)
def test_ranges_that_do_not_tell_whose_each_photo_is_are_not_used(
    ranges: list[tuple[float, float]], tmp_path: Path, asked: list[int]
):
    table, unread = both_ways(write(tmp_path, records(ranges=ranges)), asked)
    assert not unread
    assert table["label"].to_pylist() == [0] * 3 + [2] * 40 + [3] * 7


def test_files_of_another_kind_are_searched(tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch):
    parts = records()
    shuffled = [0, *range(PHOTOS, 0, -1), *range(PHOTOS + 1, len(parts))]
    assert not both_ways(write(tmp_path, parts, shuffled), asked)[1]
    write(tmp_path, parts)
    (tmp_path / "train.idx").write_text((tmp_path / "train.idx").read_text().replace("7\t", "seven\t", 1))
    assert not both_ways(tmp_path, asked)[1]
    assert not both_ways(write(tmp_path, parts[1 : PHOTOS + 1]), asked)[1]  # no identities
    head = framed(struct.pack("<IfQQff", 2, 0, 0, 0, PHOTOS + 9, PHOTOS + 13))
    assert not both_ways(write(tmp_path, [head, *parts[1:]]), asked)[1]
    for first in (float("nan"), float("inf"), -3, PHOTOS + 1.5):
        head = framed(struct.pack("<IfQQff", 2, 0, 0, 0, first, PHOTOS + 5))
        assert not both_ways(write(tmp_path, [head, *parts[1:]]), asked)[1]
    write(tmp_path, parts)
    monkeypatch.setattr(record_index, "MOST_KEYS", 50)  # too many to be named by float32
    assert not both_ways(tmp_path, asked)[1]


def test_an_index_that_is_wrong_is_still_found_out(tmp_path: Path):
    write(tmp_path, records())
    lines = (tmp_path / "train.idx").read_text().splitlines()
    moved = [f"{line.split()[0]}\t{int(line.split()[1]) + 4 * (7 < number < 12)}" for number, line in enumerate(lines)]
    (tmp_path / "train.idx").write_text("\n".join(moved))
    with pytest.raises(UserError, match="the index of another file: no record begins at byte"):
        open_source(str(tmp_path)).list()
    (tmp_path / "train.idx").write_text("\n".join(lines[:-10]))
    with pytest.raises(UserError, match="or cut: it leaves out 10 of the 55 records"):
        open_source(str(tmp_path)).list()


def test_a_record_without_an_image_is_said_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(record_index, "PROBES", 2)
    parts = records()
    parts[9] = framed(struct.pack("<IfQQ", 0, 2, 9, 0))
    source = open_source(str(write(tmp_path, parts)))
    assert list(source.read(source.list().table))[8] == ReadFailure("a record without an image")


def test_a_file_that_cannot_be_read_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, records())

    def fail(self, name: str, start: int, count: int) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(open_store(str(tmp_path))), "read_range", fail)
    with pytest.raises(UserError, match=r"train\.rec: cannot be read: .*Permission denied"):
        open_source(str(tmp_path)).list()
