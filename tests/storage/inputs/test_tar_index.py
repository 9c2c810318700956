"""The index of a tar against the programs that write tars: GNU tar, tarfile and, where it is there, bsdtar."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from ue_ray.errors import UserError
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs import tar_index
from ue_ray.storage.inputs.tar_index import BLOCK, Kind, Member, TarIndex

TAR = shutil.which("gtar") or shutil.which("tar")
FORMATS = [*(("tar", name) for name in ("v7", "oldgnu", "gnu", "ustar", "pax")), ("bsdtar", "ustar"), ("bsdtar", "pax")]


def index(path: Path) -> list[Member]:
    return list(TarIndex(open_store(str(path))))


def contents(path: Path, members: list[Member]) -> dict[str, bytes]:
    data = path.read_bytes()
    return {member.name: data[member.offset : member.offset + member.size] for member in members}


def made(path: Path, files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


@pytest.mark.parametrize(("program", "format"), FORMATS)
def test_every_file_of_every_dialect_is_found(program: str, format: str, tmp_path: Path):
    if (path := shutil.which(program)) is None:
        pytest.skip(f"needs {program}")
    files = {"a.jpg": b"a" * 700, "b/empty.cls": b"", "b/c/d.e.png": os.urandom(1536), "sp ace.txt": b"x"}
    files["é/ü.jpg"] = b"utf-8"
    if format != "v7":
        files["deep/" * 20 + "file.jpg"] = b"prefix"  # 108 bytes: in the prefix field of ustar
    if format in ("oldgnu", "gnu", "pax"):
        files["long" * 50 + ".jpg"] = b"long"
        files["folder" * 30 + "/" + "name" * 30 + ".jpg"] = b"longer"
    source = tmp_path / "source"
    for name, data in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    (source / "link.jpg").symlink_to("a.jpg")
    os.link(source / "a.jpg", source / "zz-hard.jpg")
    subprocess.run([path, f"--format={format}", "-cf", tmp_path / "x.tar", "-C", source, "."], check=True)
    members = index(tmp_path / "x.tar")
    regular = [member for member in members if member.kind is Kind.FILE]
    first, second = {"a.jpg", "zz-hard.jpg"}, {member.name for member in members if member.kind is Kind.LINK}
    assert second - {"link.jpg"} < first, "of two hard links one is the file"
    expected = files | {"zz-hard.jpg": files["a.jpg"]}
    assert contents(tmp_path / "x.tar", regular) == {name: expected[name] for name in expected.keys() - second}
    assert {member.kind for member in members} == {Kind.FILE, Kind.FOLDER, Kind.LINK}


def test_the_index_is_what_tarfile_finds(tmp_path: Path):
    files = {f"{n:05}/{n}.{end}": os.urandom(n * 97) for n in range(300) for end in ("jpg", "json")}
    path = made(tmp_path / "x.tar", files)
    with tarfile.open(path) as tar:
        assert [(m.name, m.offset, m.size) for m in index(path)] == [(t.name, t.offset_data, t.size) for t in tar]


class Counted:
    """Counts the bytes and requests of a store."""

    def __init__(self, path: Path) -> None:
        self.store = open_store(str(path))
        self.path, self.info = self.store.path, self.store.info
        self.ranges: list[tuple[int, int]] = []

    def read_range(self, name: str, start: int, count: int) -> bytes:
        self.ranges.append((start, count))
        return self.store.read_range(name, start, count)


def test_small_members_come_many_to_a_request_and_large_ones_are_passed_over(tmp_path: Path):
    small = made(tmp_path / "small.tar", {f"{n}.jpg": bytes(10_000) for n in range(1000)})
    counted = Counted(small)
    assert len(list(TarIndex(counted))) == 1000
    assert len(counted.ranges) <= small.stat().st_size / tar_index.AHEAD + 2
    large = made(
        tmp_path / "large.tar",
        {f"{n}.{end}": bytes(size) for n in range(20) for end, size in (("cls", 3), ("jpg", 1_000_000), ("json", 900))},
    )
    counted = Counted(large)
    labels = [TarIndex(counted).content(member) for member in TarIndex(counted) if member.name.endswith("cls")]
    assert labels == [bytes(3)] * 20
    counted = Counted(large)
    members = TarIndex(counted)
    assert [members.content(member) for member in members if member.size == 3] == [bytes(3)] * 20
    assert len(counted.ranges) <= 21, "labels are read with the headers beside them"
    assert sum(count for _, count in counted.ranges) < 0.1 * large.stat().st_size


def test_a_tar_in_a_tar_is_indexed_in_place(tmp_path: Path):
    inner = made(tmp_path / "n01440764.tar", {"n01440764_1.JPEG": b"first", "n01440764_2.JPEG": b"second"})
    outer = made(tmp_path / "outer.tar", {"n01440764.tar": inner.read_bytes(), "other.tar": b"x"})
    member = index(outer)[0]
    members = list(TarIndex(open_store(str(outer)), "", member.offset, member.offset + member.size))
    assert contents(outer, members) == {"n01440764_1.JPEG": b"first", "n01440764_2.JPEG": b"second"}


def test_a_cut_tar_says_where(tmp_path: Path):
    path = made(tmp_path / "x.tar", {"a.jpg": bytes(1000), "b.jpg": b"b" * 1000})
    whole = path.read_bytes()
    for length, last in [
        (2 * BLOCK + 2000, Member("b.jpg", 2048, 1000, Kind.CUT)),
        (3 * BLOCK + 7, Member("", 1536, 7, Kind.DAMAGED)),
        (BLOCK + 10, Member("a.jpg", 512, 1000, Kind.CUT)),
    ]:
        path.write_bytes(whole[:length])
        assert index(path)[-1] == last
    path.write_bytes(whole[: 6 * BLOCK])  # between two members: nothing of them is missing
    members = TarIndex(open_store(str(path)))
    assert [member.kind for member in members] == [Kind.FILE, Kind.FILE]
    assert not members.whole


def test_damage_ends_the_index_with_what_is_left(tmp_path: Path):
    path = made(tmp_path / "x.tar", {"a.jpg": bytes(100), "b.jpg": bytes(100), "c.jpg": bytes(100)})
    data = bytearray(path.read_bytes())
    data[1024 + 3] ^= 1  # in the name of the second: its checksum is wrong
    path.write_bytes(data)
    assert index(path) == [Member("a.jpg", 512, 100), Member("", 1024, len(data) - 1024, Kind.DAMAGED)]


def test_joined_and_empty_tars_are_read_to_their_end(tmp_path: Path):
    one, two = made(tmp_path / "1.tar", {"a.jpg": b"a"}), made(tmp_path / "2.tar", {"b.jpg": b"b"})
    both = tmp_path / "both.tar"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    assert [member.name for member in index(both)] == ["a.jpg", "b.jpg"]
    empty = TarIndex(open_store(str(made(tmp_path / "empty.tar", {}))))
    assert list(empty) == []
    assert empty.whole
    (tmp_path / "nothing.tar").write_bytes(b"")
    assert index(tmp_path / "nothing.tar") == []


@pytest.mark.parametrize("format", ["oldgnu", "gnu", "pax"])
@pytest.mark.parametrize("holes", [1, 50])
def test_sparse_files_are_named_and_passed_over(format: str, holes: int, tmp_path: Path):
    with (tmp_path / "sparse.jpg").open("wb") as file:
        for hole in range(holes):
            file.seek(hole * 200_000 + 100_000)
            file.write(b"data")
    (tmp_path / "zz.jpg").write_bytes(b"behind")
    command = [TAR, f"--format={format}", "-S", "-cf", "x.tar", "sparse.jpg", "zz.jpg"]
    subprocess.run(command, cwd=tmp_path, check=True)
    members = index(tmp_path / "x.tar")
    assert [(member.name, member.kind) for member in members] == [("sparse.jpg", Kind.SPARSE), ("zz.jpg", Kind.FILE)]
    assert contents(tmp_path / "x.tar", members[1:]) == {"zz.jpg": b"behind"}


def test_sizes_above_8_gib_are_read_from_both_encodings(tmp_path: Path):
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        header = tarfile.TarInfo("huge.jpg")
        header.size = 9 << 30
        with (tmp_path / "huge.tar").open("wb") as file:
            head = header.tobuf(format)
            file.write(head)
            file.truncate(len(head) + header.size)
            file.seek(0, os.SEEK_END)
            follower = tarfile.TarInfo("b.jpg")
            file.write(follower.tobuf())
        assert [(m.name, m.size, m.kind) for m in index(tmp_path / "huge.tar")] == [
            ("huge.jpg", 9 << 30, Kind.FILE),
            ("b.jpg", 0, Kind.FILE),
        ]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, lambda data: b"no tar at all" * 90])
def test_what_is_no_tar_is_refused_in_one_line(compress, tmp_path: Path):
    path = tmp_path / "x.tar"
    path.write_bytes(compress(made(path, {"a.jpg": os.urandom(2000)}).read_bytes()))
    with pytest.raises(UserError, match=r"x\.tar: is (compressed \(\w+\), .*unpack it|no tar)") as caught:
        index(path)
    assert "\n" not in str(caught.value)


def test_hostile_headers_end_the_index(tmp_path: Path):
    path = tmp_path / "x.tar"
    honest = made(path, {"a.jpg": b"x"}).read_bytes()
    negative = tarfile.TarInfo("n.jpg").tobuf(tarfile.GNU_FORMAT)
    negative = negative[:124] + b"\xff" * 12 + negative[136:]
    negative = negative[:148] + b"%06o\0 " % tarfile.calc_chksums(negative)[0] + negative[156:]
    endless = negative[:124] + b"\x80" + b"\x7f" * 11 + negative[136:]
    endless = endless[:148] + b"%06o\0 " % tarfile.calc_chksums(endless)[0] + endless[156:]
    long = tarfile.TarInfo("pax")
    long.type, long.size = tarfile.XHDTYPE, 1 << 40
    for hostile in (negative, endless, long.tobuf(tarfile.GNU_FORMAT)):
        path.write_bytes(honest[:1024] + hostile + bytes(2048))
        assert [member.kind for member in index(path)] == [Kind.FILE, Kind.DAMAGED]
    records = tarfile.TarInfo("pax")
    records.type, records.size = tarfile.XHDTYPE, 512
    for data in (b"0 path=x\n", b"99999 path=x\n", b"7 path\n", b"x", b"12 size=-512\n", b"29 size=%d\n" % 10**20):
        path.write_bytes(records.tobuf(tarfile.GNU_FORMAT) + data.ljust(512, b"\0") + honest)
        assert next((member.name, member.size) for member in index(path)) in (("a.jpg", 1), ("", 1))
