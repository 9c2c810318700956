import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ue_ray.errors import ReadFailure, UserError
from ue_ray.storage.inputs import parquet
from ue_ray.storage.inputs.listing import sample_id
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.parquet import ParquetSource
from ue_ray.storage.store import OutOfReach

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def features(*names: str) -> dict[str, str]:
    return {"huggingface": json.dumps({"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}})}


def write(
    path: Path,
    labels: list[int | None],
    kind: pa.DataType | None = None,
    names: tuple[str, ...] = (),
    row_group_size: int = 2,
    **columns: pa.Array,
) -> Path:
    """Images are the bytes ``<file stem><row>``."""
    images = [{"bytes": f"{path.stem}{row}".encode(), "path": f"{row}.png"} for row in range(len(labels))]
    arrays = {"image": pa.array(images, IMAGE), "label": pa.array(labels, kind or pa.int64())} | columns
    table = pa.table(arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(features(*names) if names else None), path, row_group_size)
    return path


def all_bytes(source: ParquetSource) -> list[bytes | ReadFailure]:
    return list(source.read(source.list().table))


def test_one_file(tmp_path: Path):
    path = write(tmp_path / "train.parquet", [1, 0, 1], names=("cat", "dog"))
    source = open_source(str(path))
    listing = source.list()
    assert listing.class_names == ["cat", "dog"]
    assert listing.labels().tolist() == [1, 0, 1]
    assert listing.table["key"].to_pylist() == ["train.parquet#0", "train.parquet#1", "train.parquet#2"]
    assert listing.table["sample_id"][1].as_py() == sample_id("train.parquet#1")
    assert all_bytes(source) == [b"train0", b"train1", b"train2"]
    assert all_bytes(pickle.loads(pickle.dumps(source))) == all_bytes(source)


def test_a_folder_of_files_in_the_order_of_their_paths(tmp_path: Path):
    write(tmp_path / "b.parquet", [0, 2])
    write(tmp_path / "sub/a.parquet", [1])
    write(tmp_path / "a.parquet", [1, 1, 1])
    for noise in ("README.md", ".cache/locks/x.lock", "sub/_metadata", "sub/.a.parquet.crc"):
        (tmp_path / noise).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / noise).write_text("")
    source = open_source(str(tmp_path))
    assert isinstance(source, ParquetSource)
    listing = source.list()
    assert listing.table["key"].to_pylist() == [
        *("a.parquet#0", "a.parquet#1", "a.parquet#2"),
        *("b.parquet#0", "b.parquet#1"),
        "sub/a.parquet#0",
    ]
    assert listing.labels().tolist() == [1, 1, 1, 0, 2, 1]
    assert listing.class_names == ["0", "1", "2"]
    assert all_bytes(source) == [b"a0", b"a1", b"a2", b"b0", b"b1", b"a0"]


def test_rows_in_any_order_read_each_row_group_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "a.parquet", [0, 1, 0, 1, 0])
    write(tmp_path / "b.parquet", [0, 1, 0, 1, 0])
    source = ParquetSource(str(tmp_path))
    rows = source.list().table
    groups = []
    read = pq.ParquetFile.iter_batches

    def counted(file: pq.ParquetFile, size: int, row_groups: list[int], columns: list[str], **options: bool) -> object:
        groups.append((row_groups[0], columns))
        return read(file, size, row_groups=row_groups, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    assert list(source.read(rows.take([9, 0, 8, 1, 9, 4, 5]))) == [b"b4", b"a0", b"b3", b"a1", b"b4", b"a4", b"b0"]
    assert sorted(groups) == [(group, ["image.bytes"]) for group in (0, 0, 1, 2, 2)]
    groups.clear()
    assert list(source.read(rows.slice(2, 2))) == [b"a2", b"a3"]
    assert groups == [(1, ["image.bytes"])]


def test_plain_binary_images_and_large_types(tmp_path: Path):
    for name, kind in (("x", pa.binary()), ("y", pa.large_binary())):
        path = write(tmp_path / f"{name}.parquet", [0, 1], image=pa.array([b"one", b"two"], kind))
        assert all_bytes(ParquetSource(str(path))) == [b"one", b"two"]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int16(), pa.uint32(), pa.int32(), pa.uint64()])
def test_any_integer_type_is_a_label(kind: pa.DataType, tmp_path: Path):
    listing = ParquetSource(str(write(tmp_path / "x.parquet", [0, 1, 100], kind))).list()
    assert listing.labels().tolist() == [0, 1, 100]
    assert listing.table["label"].type == pa.int64()
    assert len(listing.class_names) == 101


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_column_of_sample_ids_is_kept(kind: pa.DataType, tmp_path: Path):
    path = write(tmp_path / "x.parquet", [0, 1], sample_id=pa.array(["first", "second"], kind))
    table = ParquetSource(str(path)).list().table
    assert table["sample_id"].to_pylist() == table["key"].to_pylist() == ["first", "second"]
    assert table["sample_id"].type == pa.string()


def test_sizes_are_those_of_the_row_groups(tmp_path: Path):
    images = [{"bytes": bytes(size), "path": ""} for size in (5000, 5000, 100, 100)]
    path = write(tmp_path / "x.parquet", [0, 1, 0, 1], image=pa.array(images, IMAGE))
    small = write(tmp_path / "y.parquet", [0, 1])
    first, _, third, _ = ParquetSource(str(path)).list().nbytes()
    assert first > third > 0
    assert ParquetSource(str(small)).list().nbytes().max() < 100


def test_rows_without_bytes_are_failures(tmp_path: Path):
    images = [{"bytes": None, "path": "/elsewhere.png"}, None, {"bytes": b"x", "path": None}]
    path = write(tmp_path / "x.parquet", [0, 1, 1], image=pa.array(images, IMAGE))
    nothing = ReadFailure("no image bytes in the row")
    assert all_bytes(ParquetSource(str(path))) == [parquet.ONLY_A_PATH, nothing, b"x"]


def test_a_large_row_group_passes_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """pandas writes 1,048,576 rows a group: read once for all rows that are asked for, a few rows at a time."""
    images = [{"bytes": row.to_bytes(2, "big") * 500, "path": None} for row in range(1000)]
    path = write(tmp_path / "x.parquet", [row % 2 for row in range(1000)], row_group_size=1000,
                 image=pa.array(images, IMAGE))  # fmt: skip
    monkeypatch.setattr(parquet, "BATCH_BYTES", 20_000)
    sizes = []
    batches = parquet._FileReader.batches

    def counted(reader: parquet._FileReader, group: int) -> Iterator[pa.Array]:
        for batch in batches(reader, group):
            sizes.append(len(batch))
            yield batch

    monkeypatch.setattr(parquet._FileReader, "batches", counted)
    source = ParquetSource(str(path))
    rows = source.list().table
    assert list(source.read(rows.slice(100, 200))) == [image["bytes"] for image in images[100:300]]
    assert max(sizes) <= 20
    assert 300 <= sum(sizes) < 320, "read to the last row that is asked for, once"


def test_a_damaged_row_group_and_a_lost_file_spare_their_neighbours(tmp_path: Path):
    path = write(tmp_path / "a.parquet", [0, 1, 0, 1])
    write(tmp_path / "b.parquet", [0, 1])
    write(tmp_path / "c.parquet", [0, 1])
    source = ParquetSource(str(tmp_path))
    rows = source.list().table
    (tmp_path / "b.parquet").unlink()
    column = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    results = list(source.read(rows))
    assert [isinstance(result, ReadFailure) for result in results] == [
        False,
        False,
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert results[4] == ReadFailure("cannot read the Parquet file: FileNotFoundError")


def test_an_input_that_is_gone_is_an_error_and_not_a_pile_of_rejections(tmp_path: Path):
    path = write(tmp_path / "x.parquet", [0, 1])
    source = ParquetSource(str(path))
    rows = source.list().table
    path.unlink()
    with pytest.raises(OutOfReach, match="no longer there"):
        list(source.read(rows))


def test_a_file_that_shrank_is_a_failure(tmp_path: Path):
    path = write(tmp_path / "x.parquet", [0, 1, 0])
    source = ParquetSource(str(path))
    rows = source.list().table
    write(path, [0])
    changed = ReadFailure("cannot read: the file has changed since it was listed")
    assert list(source.read(rows)) == [b"x0", changed, changed]
    write(path, [])
    assert list(source.read(rows)) == [changed] * 3


def refused(uri: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(uri)).list()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_wrong_labels_are_named_by_file_and_row(tmp_path: Path):
    x, y = tmp_path / "x.parquet", tmp_path / "y.parquet"
    write(x, [0, 1], names=("cat", "dog"))
    write(y, [0, 1, 2], names=("cat", "dog"))
    assert refused(tmp_path) == f"{tmp_path}: y.parquet: row 2 has label 2, out of range: expected 0 to 1"
    assert refused(write(y, [0, None])) == f"{y}: row 1 has no label"
    assert refused(write(y, [0, 1, -1])) == f"{y}: row 2 has label -1, out of range: expected 0 to 999999"
    assert f"row 1 has label {2**64 - 1}, out of range" in refused(write(y, [0, 2**64 - 1], pa.uint64()))


def test_wrong_columns_are_named(tmp_path: Path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"img": ["x"], "label": [0]}), path)
    assert refused(path) == (f"{path}: no column image; found img (string), label (int64): --image-column chooses")
    write(path, [0, 1], image=pa.array(["a", "b"]))
    assert "column image holds string; expected struct<bytes: binary, path: string> or binary" in refused(path)
    write(path, [0, 1], label=pa.array([[0], [1]]))
    assert "column label is list<element: int64>; expected whole numbers or text" in refused(path)
    write(path, [0, 1], sample_id=pa.array(["a", None]))
    assert "row 1 has no sample_id" in refused(path)
    write(path, [0, 1], sample_id=pa.array(["a", "a"]))
    assert "sample_id a appears more than once" in refused(path)


def test_unreadable_and_empty_files_are_refused(tmp_path: Path):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 but not really")
    assert f"{path}: not a readable Parquet file" in refused(path)
    assert "holds no samples" in refused(write(path, []))


def test_files_must_agree_on_the_class_names(tmp_path: Path):
    write(tmp_path / "x.parquet", [0, 1], names=("cat", "dog"))
    write(tmp_path / "y.parquet", [0, 1], names=("dog", "cat"))
    assert f"{tmp_path}: y.parquet: class names differ from those of {tmp_path}: x.parquet" in refused(tmp_path)
    assert refused(tmp_path).endswith(": dog, cat; cat, dog")


@pytest.mark.parametrize("metadata", ["not json", "[]", '{"info": null}', '{"info": {"features": {"label": {}}}}'])
def test_other_peoples_metadata_is_passed_over(metadata: str, tmp_path: Path):
    path = write(tmp_path / "x.parquet", [0, 1])
    table = pq.read_table(path).replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, path)
    assert ParquetSource(str(path)).list().class_names == ["0", "1"]
