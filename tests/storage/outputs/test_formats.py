"""The formats: the same promises, tested in one table; and how other tools read them."""

import json
import os
import tarfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.storage.hostile import hostile_keys
from ue_ray.errors import RunError
from ue_ray.images.codec import decode, encode
from ue_ray.images.quality import Likeness
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs.listing import sample_id
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.formats import FORMATS, format_of, shared_names
from ue_ray.storage.outputs.formats.base import Entry
from ue_ray.storage.outputs.shards import ShardRecord, ShardWriter

CLASSES = ["Cat", "dog"]
KEYS = ["Cat/1.png", "Cat/2.jpg", "Cat/deep/3.png", "dog/1.png", "dog/été.png"]

every_format = pytest.mark.parametrize("format", FORMATS)


def image_of(key: str) -> bytes:
    """A small image that no other key has."""
    seed = int(sample_id(key), 16)
    return encode(np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8))


def label_of(key: str) -> int:
    return int(not key.startswith("Cat"))


def write(root: str, format: str, keys: list[str] = KEYS, rejected: int = 0, index: int = 0) -> ShardRecord:
    with ShardWriter(root, index, CLASSES, format) as writer:
        for key in keys:
            writer.add_protected(sample_id(key), image_of(key), key, label_of(key))
        for row in range(rejected):
            writer.add_rejected(f"bad{row}", f"Cat/bad{row}", "empty file")
    return writer.close()


def read(root: str, record: ShardRecord) -> list[Entry | str]:
    name = record.files[0].name
    kind = format_of(name)
    assert kind
    return list(kind.reader(root).read(f"{root}/{name}"))


def files_below(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@every_format
def test_what_is_written_is_read_back_in_order(tmp_path: Path, format: str):
    record = write(str(tmp_path), format, rejected=2)
    assert (record.protected, record.rejected) == (5, 2)
    assert [file.rows for file in record.files] == [5, 2]
    assert read(str(tmp_path), record) == [Entry(sample_id(key), key, label_of(key), image_of(key)) for key in KEYS]


@every_format
def test_writing_again_changes_no_byte(tmp_path: Path, format: str):
    first = write(str(tmp_path / "a"), format, rejected=1)
    files = files_below(tmp_path / "a")
    assert write(str(tmp_path / "a"), format, rejected=1) == write(str(tmp_path / "b"), format, rejected=1) == first
    assert files_below(tmp_path / "a") == files_below(tmp_path / "b") == files


@every_format
def test_what_is_recorded_appears_only_at_the_end(tmp_path: Path, format: str):
    with suppress(RuntimeError), ShardWriter(str(tmp_path), 0, CLASSES, format) as writer:
        for key in KEYS * 60:
            writer.add_protected(sample_id(key), image_of(key), key, label_of(key))
        raise RuntimeError
    left = files_below(tmp_path)
    assert not any("part-" in name or name.endswith(".tmp") for name in left)
    assert not left or format == "imagefolder"  # whose images are published one by one, and do not count without index
    for name, data in left.items():
        assert decode(data).rgb.shape == (4, 5, 3), name


@every_format
def test_a_shard_that_cannot_be_closed_leaves_nothing_half_written(tmp_path: Path, format: str):
    (tmp_path / "rejected").write_text("in the way")
    with pytest.raises(FileExistsError):
        write(str(tmp_path), format, rejected=1)
    assert not any(name.endswith(".tmp") for name in files_below(tmp_path))


@every_format
def test_a_second_attempt_that_ends_otherwise_leaves_nothing_of_the_first(tmp_path: Path, format: str):
    write(str(tmp_path / "a"), format)
    for root in ("a", "b"):
        with ShardWriter(str(tmp_path / root), 0, CLASSES, format) as writer:
            for key in KEYS:
                writer.add_rejected(sample_id(key), key, "cannot read", label_of(key))
    assert files_below(tmp_path / "a") == files_below(tmp_path / "b")


@every_format
def test_a_shard_elsewhere_than_on_disk(format: str):
    root = f"memory://formats/{format}"
    record = write(root, format)
    store = open_store(root)
    assert store.info(record.files[0].name).size == record.files[0].bytes
    assert len(list(store.walk("data"))) == {"imagefolder": 5, "recordio": 2}.get(format, 1)


@every_format
def test_hostile_keys_stay_inside_and_apart(tmp_path: Path, format: str):
    """200 keys: nothing outside the output's own folders, and as many images as keys."""
    root = tmp_path / "deep" / "deeper" / "out"
    keys, class_names = hostile_keys(200), ["..", "../../c", "c"]
    labels = [number % 3 for number in range(200)]
    listing = pa.table({"sample_id": [sample_id(key) for key in keys], "key": keys, "label": labels})
    shared = shared_names(format, class_names, ".png", listing)
    with ShardWriter(str(root), 0, class_names, format, shared=shared) as writer:
        for number, key in enumerate(keys):
            writer.add_protected(sample_id(key), image_of(key), key, number % 3)
    record = writer.close()
    written = [path.relative_to(tmp_path).parts for path in tmp_path.rglob("*") if not path.is_dir()]
    assert {parts[:4] for parts in written} <= {("deep", "deeper", "out", folder) for folder in ("data", "index")}
    entries = read(str(root), record)
    assert [(entry.key, entry.image) for entry in entries] == [(key, image_of(key)) for key in keys]
    if format == "imagefolder":
        assert len(written) == 201
    if format == "webdataset":
        with tarfile.open(root / "data" / "part-00000.tar") as tar:
            names = tar.getnames()
        assert len({name.casefold() for name in names}) == 600
        assert not any("" in parts or ".." in parts or "\\" in name for name in names if (parts := name.split("/")))


@every_format
@pytest.mark.parametrize("folder", ["data", "index", "rejected", "data/Cat", "data/Cat/deep"])
def test_a_link_planted_in_the_output_is_not_followed(tmp_path: Path, format: str, folder: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tmp_path / "out" / folder
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    used = {"imagefolder": {"data", "data/Cat", "data/Cat/deep", "index"}, "recordio": {"data", "index"}}.get(
        format, {"data"}
    )
    if folder in used | {"rejected"}:
        with pytest.raises(RunError, match=f"{folder}: is a link"):
            write(str(tmp_path / "out"), format, rejected=1)
    else:
        write(str(tmp_path / "out"), format, rejected=1)
    assert list(outside.iterdir()) == []


def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "out" / "data" / "Cat").mkdir(parents=True)
    (tmp_path / "out" / "data" / "Cat" / "1.png").symlink_to(victim)
    write(str(tmp_path / "out"), "imagefolder")
    assert victim.read_text() == "kept"
    assert not (tmp_path / "out" / "data" / "Cat" / "1.png").is_symlink()


def test_an_image_folder_names_its_images_in_an_index(tmp_path: Path):
    record = write(str(tmp_path), "imagefolder")
    assert [file.name for file in record.files] == ["index/part-00000.parquet"]
    rows = pq.read_table(tmp_path / "index" / "part-00000.parquet").to_pylist()
    assert [row["name"] for row in rows] == ["Cat/1.png", "Cat/2.png", "Cat/deep/3.png", "dog/1.png", "dog/été.png"]
    for row, key in zip(rows, KEYS, strict=True):
        assert (row["sample_id"], row["key"], row["label"]) == (sample_id(key), key, label_of(key))
        assert (tmp_path / "data" / row["name"]).read_bytes() == image_of(key)
        assert row["bytes"] == len(image_of(key))


def test_torchvision_reads_an_image_folder(tmp_path: Path):
    """Its classes are the sorted folder names: capitals first, whatever our labels are."""
    datasets = pytest.importorskip("torchvision.datasets")
    (tmp_path / "data").mkdir()
    write(str(tmp_path), "imagefolder")
    loaded = datasets.ImageFolder(tmp_path / "data")
    assert loaded.classes == ["Cat", "dog"]
    assert [os.path.basename(path)[0] for path, _ in loaded.samples] == ["1", "2", "3", "1", "é"]
    assert [label for _, label in loaded.samples] == [0, 0, 0, 1, 1]
    assert np.array_equal(np.array(loaded[0][0]), decode(image_of("Cat/1.png")).rgb)


def test_webdataset_groups_a_tar_by_the_name_up_to_its_first_dot(tmp_path: Path):
    write(str(tmp_path), "webdataset")
    samples: dict[str, dict[str, bytes]] = defaultdict(dict)
    with tarfile.open(tmp_path / "data" / "part-00000.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)
            folder, _, base = member.name.rpartition("/")
            stem, _, suffix = base.partition(".")
            content = tar.extractfile(member)
            assert content
            samples[f"{folder}/{stem}"][suffix] = content.read()
    assert next(iter(samples)) == "Cat/1"
    assert len(samples) == 5
    for sample, key in zip(samples.values(), KEYS, strict=True):
        assert sample["png"] == image_of(key)
        assert int(sample["cls"]) == label_of(key)
        assert json.loads(sample["json"]) == {
            "sample_id": sample_id(key),
            "key": key,
            "label": label_of(key),
            "class_name": CLASSES[label_of(key)],
            "psnr": None,
            "ssim": None,
        }


def test_a_record_file_is_byte_for_byte_mxnets(tmp_path: Path):
    """Of ``tests/storage/recordio/make.py``, which wrote the same with MXNet's own writer."""
    magic = bytes.fromhex("0a23d7ce")
    images = [bytes([number]) * number for number in range(1, 6)] + [
        b"image\0\0\0" + 2 * magic + b"1234" + magic + b"end"
    ]
    with ShardWriter(str(tmp_path), 0, ["a", "b", "c"], "recordio") as writer:
        for row, image in enumerate(images):
            writer.add_protected(f"{row:032x}", image, f"a/{row}.png", row % 3)
    for ending in ("rec", "idx"):
        golden = Path(__file__).parent.parent / "recordio" / "written" / f"part.{ending}"
        assert (tmp_path / "data" / f"part-00000.{ending}").read_bytes() == golden.read_bytes()
    assert [entry.image for entry in read(str(tmp_path), writer.close()) if isinstance(entry, Entry)] == images


def test_record_files_are_an_input_of_their_own(tmp_path: Path):
    """For who has copied them alone: labels and images, but other keys."""
    for index in range(2):
        write(str(tmp_path), "recordio", index=index)
    source = open_source(str(tmp_path / "data"))
    listing = source.list()
    assert listing.labels().tolist() == [label_of(key) for key in KEYS] * 2
    assert list(source.read(listing.table)) == [image_of(key) for key in KEYS] * 2


def test_each_format_says_how_like_its_original_an_image_is(tmp_path: Path):
    for format in FORMATS:
        with ShardWriter(str(tmp_path / format), 0, CLASSES, format) as writer:
            writer.add_protected("0", image_of("a"), "Cat/a.png", 0, Likeness(34.5, 0.9))
    rows = [
        *pq.read_table(tmp_path / "parquet" / "data").to_pylist(),
        *pq.read_table(tmp_path / "imagefolder" / "index").to_pylist(),
        *pq.read_table(tmp_path / "recordio" / "index").to_pylist(),
    ]
    with tarfile.open(tmp_path / "webdataset" / "data" / "part-00000.tar") as tar:
        facts = tar.extractfile(tar.getmembers()[2])
        assert facts
        rows.append(json.loads(facts.read()))
    assert [(row["psnr"], row["ssim"]) for row in rows] == [(34.5, 0.9)] * 4


def test_names_end_in_the_encoding(tmp_path: Path):
    with ShardWriter(str(tmp_path), 0, CLASSES, "imagefolder", extension=".webp") as writer:
        for key in ("dog/1.webp", "dog/2.png", "dog/3:4.JPG"):
            writer.add_protected(sample_id(key), b"bytes", key, 1)
    assert sorted(path.name for path in (tmp_path / "data" / "dog").iterdir()) == ["1.webp", "2.webp", "3_4.webp"]
    assert writer.renamed == {"dog/3:4.JPG": "dog/3_4.webp"}
    assert writer.extensions == {".png -> .webp": 1, ".jpg -> .webp": 1}


@pytest.mark.parametrize("format", ["imagefolder", "webdataset"])
def test_a_name_of_255_bytes_is_written(tmp_path: Path, format: str):
    key = f"Cat/{'é' * 125}x.png"
    assert read(str(tmp_path), write(str(tmp_path), format, [key])) == [Entry(sample_id(key), key, 0, image_of(key))]


def test_a_parquet_has_the_keys_and_no_names(tmp_path: Path):
    with ShardWriter(str(tmp_path), 0, CLASSES) as writer:
        writer.add_protected("0", b"bytes", "Cat/3:4.JPG", 0)
    assert (writer.renamed, dict(writer.extensions)) == ({}, {})


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("data/part-00003.parquet", "parquet"),
        ("data/part-00003.tar", "webdataset"),
        ("index/part-00003.parquet", "imagefolder"),
        ("index/part-00003.rec.parquet", "recordio"),
        ("data/part-00003.rec", None),
        ("rejected/part-00003.parquet", None),
        ("manifest.json", None),
    ],
)
def test_a_recorded_name_tells_its_format(name: str, format: str | None):
    assert format_of(name) is (FORMATS[format] if format else None)


def test_many_images_are_written_with_few_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An image folder waits for its writers: at no time are more than 32 MiB (or one image) on their way."""
    from ue_ray.storage.outputs.formats.imagefolder import ImageFolderWriter

    held: list[int] = []
    add: Callable = ImageFolderWriter.add

    def watched(self: ImageFolderWriter, *entry: Any) -> None:
        add(self, *entry)
        held.append(self._pending_bytes)

    monkeypatch.setattr(ImageFolderWriter, "add", watched)
    with ShardWriter(str(tmp_path), 0, CLASSES, "imagefolder") as writer:
        for number in range(12):
            writer.add_protected(f"{number:032x}", bytes(7 << 20), f"Cat/{number}.png", 0)
    assert max(held) <= 32 << 20
