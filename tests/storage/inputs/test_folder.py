import os
import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ue_ray.errors import ReadFailure, UserError
from ue_ray.storage.filesystem import open_store, remove_tree, write_bytes
from ue_ray.storage.inputs import folder, listing
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.listing import sample_id
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.local import LocalStore
from ue_ray.storage.store import OutOfReach


def make(root: Path, *names: str) -> FolderSource:
    """Files whose content is their own name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    source = open_source(str(root))
    assert isinstance(source, FolderSource)
    return source


def reads(source: FolderSource) -> dict[str, bytes | str]:
    rows = source.list().table
    results = source.read(rows)
    return {
        key: result.reason if isinstance(result, ReadFailure) else result
        for key, result in zip(rows["key"].to_pylist(), results, strict=True)
    }


def test_labels_are_indices_of_the_sorted_class_folders(tmp_path: Path):
    (tmp_path / "aardvark").mkdir()  # holds no file, so it is no class
    listing = make(tmp_path, "dog/2.png", "cat/deep/er/1.png", "Zebra/3.png", "dog/1.png").list()
    assert listing.class_names == ["Zebra", "cat", "dog"]
    assert listing.table["key"].to_pylist() == ["Zebra/3.png", "cat/deep/er/1.png", "dog/1.png", "dog/2.png"]
    assert listing.labels().tolist() == [0, 1, 2, 2]
    assert listing.table["nbytes"].to_pylist() == [11, 17, 9, 9]
    assert listing.table["sample_id"][2].as_py() == sample_id("dog/1.png")


def test_odd_names_are_listed_and_read(tmp_path: Path):
    names = [
        "a/noextension",
        "a/.hidden",
        "a/_underscore.jpg",
        "a/x.webp",
        "a/y.jfif",
        "a/what?.png",
        "a/#1 50%25.png",
        "b b/Ünïcödé 猫.png",
        "b b/new\nline",
        "b b/photo.parquet",
        "b b/-",
    ]
    source = make(tmp_path, *names)
    assert reads(source) == {name: name.encode() for name in names}


def test_a_name_that_is_not_utf8_is_read_all_the_same(tmp_path: Path):
    make(tmp_path, "a/1", "b/2")
    (tmp_path / "a" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"coffee")
    assert reads(open_source(str(tmp_path)))["a/caf\\xe9.png"] == b"coffee"


def test_files_outside_class_folders_have_no_label_and_a_reason(tmp_path: Path):
    source = make(tmp_path, "README.md", ".DS_Store", ".cache/x/1", "a/1", "b/2")
    listing = source.list()
    assert listing.class_names == ["a", "b"]
    assert listing.labels().tolist() == [-1, -1, -1, 0, 1]
    outside = "not inside a class folder"
    assert list(reads(source).values()) == [folder.LEFT_BEHIND.reason, outside, outside, b"a/1", b"b/2"]


def test_what_a_system_left_is_no_class_and_no_picture(tmp_path: Path):
    left = ["__MACOSX/cat/._1.png", "@eaDir/1.png", "cat/.DS_Store", "dog/Thumbs.db", "cat/.ipynb_checkpoints/1.png"]
    source = make(tmp_path, "cat/1.png", "dog/1.png", *left)
    assert source.list().class_names == ["cat", "dog"]
    assert reads(source) == dict.fromkeys(left, folder.LEFT_BEHIND.reason) | {
        "cat/1.png": b"cat/1.png",
        "dog/1.png": b"dog/1.png",
    }
    assert make(tmp_path / "one", "cat/1.png", "__MACOSX/cat/._1.png").list().class_names == ["cat"]


def test_a_folder_without_folders_is_one_class(tmp_path: Path):
    source = make(tmp_path / "my photos", "1.jpg", "2.jpg", ".hidden.jpg", ".DS_Store", "@eaDir/1.jpg")
    listing = source.list()
    assert listing.class_names == ["my photos"]
    assert reads(source) == {
        ".DS_Store": folder.LEFT_BEHIND.reason,
        ".hidden.jpg": "not inside a class folder",
        "1.jpg": b"1.jpg",
        "2.jpg": b"2.jpg",
        "@eaDir/1.jpg": folder.LEFT_BEHIND.reason,
    }
    source.glance()


def test_beside_a_class_folder_a_file_has_no_class(tmp_path: Path):
    assert make(tmp_path, "1.jpg", "a/2.jpg").list().labels().tolist() == [-1, 0]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder with links of every kind: to files and folders, inside and outside, broken, and in loops."""
    make(tmp_path / "elsewhere", "cat/9", "secret")
    root = tmp_path / "root"
    make(root, "a/1", "b/2", "b/deep/3")
    for name, target in {
        "a/inside": "../b/2",
        "a/outside": "../../elsewhere/secret",
        "a/broken": "nowhere",
        "a/itself": "itself",
        "a/up": "..",
        "a/to b": "../b",
        "b/deep/to a": "../../a",
        "c": "../elsewhere/cat",
        "d": "b/deep",
        "everything": "/",
    }.items():
        (root / name).symlink_to(target)
    return root


LEADS_OUT, LOOPS = folder.OUTSIDE.reason, folder.LOOP.reason
FOLLOWED = {
    "a/1": b"a/1",
    "a/inside": b"b/2",
    "a/up": LOOPS,
    "a/to b/2": b"b/2",
    "a/to b/deep/3": b"b/deep/3",
    "a/to b/deep/to a": LOOPS,
    "b/2": b"b/2",
    "b/deep/3": b"b/deep/3",
    "b/deep/to a/1": b"a/1",
    "b/deep/to a/inside": b"b/2",
    "b/deep/to a/up": LOOPS,
    "b/deep/to a/to b": LOOPS,
    "d/3": b"b/deep/3",
    "d/to a/1": b"a/1",
    "d/to a/inside": b"b/2",
    "d/to a/up": LOOPS,
    "d/to a/to b": LOOPS,
}


def test_links_are_followed_to_what_lies_inside_the_root_and_the_others_are_named(linked: Path):
    source = open_source(str(linked))
    found, listing = reads(source), source.list()
    assert FOLLOWED.items() <= found.items()
    assert found["a/broken"] == "cannot read: No such file or directory"
    assert str(found["a/itself"]).startswith("cannot read: ")
    assert {key for key, value in found.items() if value == LEADS_OUT} == {
        *("c", "everything", "a/outside", "b/deep/to a/outside", "d/to a/outside")
    }
    assert listing.class_names == ["a", "b", "d"]
    assert listing.note == (
        "11 links are not followed, such as a/outside: outside the input (--follow-links), or a loop"
    )
    assert listing.table["nbytes"].to_numpy().min() == 0


def test_all_links_but_loops_are_followed_where_that_is_asked_for(linked: Path):
    source = open_source(str(linked), follow_links=True)
    found = reads(source)
    assert found["a/outside"] == b"secret"
    assert found["c/9"] == b"cat/9"
    assert found["everything"] == found["a/up"] == LOOPS
    assert source.list().class_names == ["a", "b", "c", "d"]
    assert reads(pickle.loads(pickle.dumps(source))) == found


def test_the_hugging_face_cache_is_read_with_its_links(tmp_path: Path):
    """Files are links to ``blobs``, which lie beside the folder of a revision."""
    make(tmp_path, "blobs/1", "blobs/2")
    root = tmp_path / "snapshots" / "main"
    for label in "12":
        (root / label).mkdir(parents=True)
        (root / label / "x.png").symlink_to(f"../../../blobs/{label}")
    assert reads(open_source(str(root), follow_links=True)) == {"1/x.png": b"blobs/1", "2/x.png": b"blobs/2"}
    with pytest.raises(UserError, match=r"; 2 links are not followed, such as 1/x\.png: .*--follow-links.* no class"):
        open_source(str(root)).list()


def test_folders_that_all_link_to_each_other_come_to_an_end(tmp_path: Path):
    names = [f"{number:02}" for number in range(12)]
    for name in names:
        make(tmp_path, f"{name}/1")
        for other in names:
            (tmp_path / name / f"to {other}").symlink_to(f"../{other}")
    listing = open_source(str(tmp_path)).list()
    assert listing.class_names == names
    assert "links are not followed" in listing.note
    files = [key for key in listing.table["key"].to_pylist() if key.endswith("/1")]
    assert len(files) == 12 * (1 + 11 + 11 * 10), "over at most two links"


@pytest.mark.parametrize("names", [("train/a/1", "train/b/2"), ("train.parquet", "test.parquet")])
def test_a_split_or_a_table_behind_a_link_that_leads_out_is_refused(names: tuple[str, ...], tmp_path: Path):
    for name in names:
        (tmp_path / "real" / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.table({"image": [b"x", b"y"], "label": [0, 1]}), tmp_path / "real" / name)
        else:
            (tmp_path / "real" / name).write_bytes(b"x")
    root = tmp_path / "root"
    root.mkdir()
    for place in (tmp_path / "real").iterdir():
        (root / place.name).symlink_to(place)
    with pytest.raises(UserError, match=r"root: .*link.*--follow-links"):
        open_source(str(root)).list()
    assert len(open_source(str(root), follow_links=True).list()) == 2


def test_one_rule_says_what_counts_for_images_and_their_splits(tmp_path: Path):
    """What systems and tools leave is no class, no split and no picture, wherever it lies."""
    left = ["__MACOSX/train/a/._1", "@eaDir/a/1", "_temporary/0/a/1", "_delta_log/0.json", ".Trash-1000/files/1"]
    within = ["train/@eaDir/1", "train/_temporary/1", "train/a/.ipynb_checkpoints/1-checkpoint", "train/a/Thumbs.db"]
    source = make(tmp_path, "train/a/1", "train/b/2", "test/a/3", *left, *within)
    assert (source.split, source.splits) == ("train", ("train", "test"))
    assert source.list().class_names == ["a", "b"]
    read = {key for key, value in reads(source).items() if isinstance(value, bytes)}
    assert read == {"a/1", "b/2"}
    hidden = make(tmp_path / "plain", "a/1", "b/2", "a/.thumbnails/1", ".cache/b/1", "a/_MG_1.jpg", "_odd/3", *left)
    assert hidden.list().class_names == ["_odd", "a", "b"]
    read = {key for key, value in reads(hidden).items() if isinstance(value, bytes)}
    assert read == {"a/1", "b/2", "a/_MG_1.jpg", "_odd/3"}, "cameras, too, write names that begin with _"


def test_the_root_may_be_a_link(tmp_path: Path):
    make(tmp_path / "real", "a/1", "b/2")
    (tmp_path / "link").symlink_to("real")
    assert reads(open_source(str(tmp_path / "link"))) == {"a/1": b"a/1", "b/2": b"b/2"}


def test_one_unreadable_file_does_not_lose_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folder, "MAX_FILE_BYTES", 100)
    source = make(tmp_path, "a/1", "a/gone", "a/large", "b/2")
    (tmp_path / "a/large").write_bytes(bytes(101))
    os.mkfifo(tmp_path / "a/pipe")
    rows = source.list().table
    (tmp_path / "a/gone").unlink()
    assert list(source.read(rows)) == [
        b"a/1",
        ReadFailure("cannot read: No such file or directory"),
        ReadFailure("file larger than 1 GiB"),
        ReadFailure("not a regular file"),
        b"b/2",
    ]


def test_rows_are_read_in_the_order_asked(tmp_path: Path):
    source = make(tmp_path, "a/1", "a/2", "b/3")
    table = source.list().table
    assert list(source.read(table.take([2, 0, 2]))) == [b"b/3", b"a/1", b"b/3"]
    assert list(source.read(table.slice(1, 1))) == [b"a/2"]
    assert list(source.read(table.slice(0, 0))) == []


def test_listing_twice_gives_the_same(tmp_path: Path):
    first = make(tmp_path / "one", *(f"{label}/{n}" for label in "abc" for n in range(20))).list()
    second = make(tmp_path / "two", *(f"{label}/{n}" for n in reversed(range(20)) for label in "cab")).list()
    assert first.table == second.table
    assert first.fingerprint() == second.fingerprint()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no samples"),
        ([".1.png", ".2.png"], "holds samples of no class"),
        ([], r"expected one folder a class; found no file\)"),
        ([".1.jpg", ".2.jpg", ".3.png", ".x"], r"found 2 \.jpg files, 1 \.png file, 1 other file at the top\)"),
        ([".1.jpg", ".a/2.jpg"], r"expected one folder a class; found 2 \.jpg files\)"),
    ],
)
def test_what_cannot_be_protected_is_refused_by_name(names: list[str], message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message) as caught:
        make(tmp_path, *names).list()
    assert str(tmp_path) in str(caught.value)


def test_a_source_works_in_another_process_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path / "in", "a/1", "b/2")
    monkeypatch.chdir(tmp_path)
    source = open_source("in")
    table = source.list().table
    carried = pickle.loads(pickle.dumps(source))
    monkeypatch.chdir("/")
    assert list(carried.read(table)) == [b"a/1", b"b/2"]


def test_a_folder_elsewhere_than_on_disk():
    names = [f"{label}/{n:02d} é" for label in "ab" for n in range(40)]  # more than one window of reads
    for name in names:
        write_bytes(f"memory://pets/{name}", name.encode())
    source = open_source("memory://pets")
    rows = source.list().table
    assert rows["key"].to_pylist() == names
    assert rows["label"].to_pylist() == [0] * 40 + [1] * 40
    assert list(source.read(rows)) == [name.encode() for name in names]
    open_store("memory://pets").remove(names[3])
    assert list(source.read(rows.slice(2, 3))) == [
        names[2].encode(),
        ReadFailure("cannot read: FileNotFoundError"),
        names[4].encode(),
    ]


@pytest.mark.parametrize("place", ["{tmp}/in", "memory://lost"])
def test_an_input_that_is_gone_is_an_error_and_not_a_pile_of_rejections(place: str, tmp_path: Path):
    uri = place.format(tmp=tmp_path)
    for name in ("a/1", "b/2"):
        write_bytes(f"{uri}/{name}", b"x")
    source = open_source(uri)
    rows = source.list().table
    remove_tree(uri)
    with pytest.raises(OutOfReach, match="no longer there"):
        list(source.read(rows))


@pytest.mark.parametrize("labels", [None, "{label}/*"])
def test_a_listing_takes_arrow_bytes_and_not_python_objects(labels: str | None, monkeypatch: pytest.MonkeyPatch):
    count = 100_000

    def many(*_: object) -> Iterator[tuple[bytes, int]]:
        return ((b"class%03d/image_%08d.jpg" % (n % 100, n * 7919 % count), 2000) for n in range(count))

    monkeypatch.setattr(LocalStore, "walk", many)
    arrow_before = pa.total_allocated_bytes()
    tracemalloc.start()
    large = FolderSource("/", labels).list()
    _, python_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert python_peak < 8 << 20  # of one chunk, however many rows; 100,000 rows of objects take 30 MiB
    # Key and path (27 bytes each) share their buffer; id 32, two offsets of 4, label and size 8 each.
    assert pa.total_allocated_bytes() - arrow_before < 90 * count
    assert len(large.fingerprint()) == 32


def test_keys_are_in_the_order_of_their_bytes_over_many_chunks(monkeypatch: pytest.MonkeyPatch):
    names = ["a/é", "a/e\u0301", "a/Z", "a/z", "a/\U0001f600", "a/\uffff", "b//x", "b/ ", "b/-"]
    monkeypatch.setattr(folder, "CHUNK_ROWS", 2)
    monkeypatch.setattr(listing, "CHUNK_ROWS", 2)
    monkeypatch.setattr(LocalStore, "walk", lambda *_: ((name.encode(), 1) for name in names))
    table = FolderSource("/").list().table
    assert table["key"].to_pylist() == sorted(names, key=str.encode)
    assert table["sample_id"].to_pylist() == [sample_id(key) for key in table["key"].to_pylist()]
