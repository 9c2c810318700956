import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ue_ray.images.codec import decode, encode
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.shards import ShardRecord, ShardWriter, plan_shards

CLASSES = ["cat", "dog"]
PNG = encode(np.full((4, 4, 3), 200, np.uint8))


@pytest.mark.parametrize("seed", range(5))
def test_a_plan_covers_every_row_once_within_its_limits(seed: int):
    nbytes = np.random.default_rng(seed).integers(0, 50, 1000)
    plan = plan_shards(nbytes, max_rows=30, max_bytes=400)
    assert [start for start, _ in plan] == [0, *(stop for _, stop in plan[:-1])]
    assert plan[-1][1] == 1000
    for (start, stop), following in zip(plan, [*plan[1:], None], strict=True):
        assert 1 <= stop - start <= 30
        assert nbytes[start:stop].sum() <= 400
        if following and stop - start < 30:  # a shard ends early only because the next row would not fit
            assert nbytes[start : stop + 1].sum() > 400
    assert plan == plan_shards(nbytes, max_rows=30, max_bytes=400)


def test_plan_edges():
    assert plan_shards(np.array([], dtype=np.int64)) == []
    assert plan_shards(np.array([5, 100, 5]), max_bytes=10) == [(0, 1), (1, 2), (2, 3)]
    assert plan_shards(np.zeros(3, dtype=np.int64), max_rows=2) == [(0, 2), (2, 3)]
    assert plan_shards(np.full(5, 2**31 - 1, dtype=np.int32), max_bytes=2**33) == [(0, 4), (4, 5)]


def write(root: Path, index: int = 0, protected: int = 3, rejected: int = 0) -> ShardRecord:
    with ShardWriter(str(root), index, CLASSES) as writer:
        for row in range(protected):
            writer.add_protected(f"id{row}", PNG, f"cat/{row}.png", row % 2)
        for row in range(rejected):
            writer.add_rejected(f"bad{row}", f"cat/bad{row}", "empty file" if row else "truncated image")
        return writer.close()


def test_a_shard_holds_what_was_added(tmp_path: Path):
    record = write(tmp_path, index=7, protected=3, rejected=3)
    table = pq.read_table(tmp_path / "data/part-00007.parquet")
    assert table["sample_id"].to_pylist() == ["id0", "id1", "id2"]
    assert table["label"].to_pylist() == [0, 1, 0]
    assert table["image"].to_pylist()[1] == {"bytes": PNG, "path": "cat/1.png"}
    rejected = pq.read_table(tmp_path / "rejected/part-00007.parquet")
    assert rejected.to_pylist()[0] == {"sample_id": "bad0", "key": "cat/bad0", "reason": "truncated image"}
    assert (record.index, record.protected, record.rejected) == (7, 3, 3)
    assert record.reasons == {"empty file": 2, "truncated image": 1}
    for file, name in zip(record.files, ("data/part-00007.parquet", "rejected/part-00007.parquet"), strict=True):
        assert file.name == name
        assert file.rows == 3
        assert file.bytes == (tmp_path / name).stat().st_size
    assert ShardRecord.from_json(record.to_json()) == record


def test_the_schema_carries_hugging_face_features(tmp_path: Path):
    write(tmp_path)
    metadata = pq.read_schema(tmp_path / "data/part-00000.parquet").metadata
    assert json.loads(metadata[b"huggingface"]) == {
        "info": {
            "features": {
                "sample_id": {"dtype": "string", "_type": "Value"},
                "image": {"_type": "Image"},
                "label": {"names": CLASSES, "_type": "ClassLabel"},
                "psnr": {"dtype": "float64", "_type": "Value"},
                "ssim": {"dtype": "float64", "_type": "Value"},
            }
        }
    }


def test_datasets_shows_images_and_class_names(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    write(tmp_path)
    files = str(tmp_path / "data/*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["label"].names == CLASSES
    assert loaded[0]["image"].size == (4, 4)
    assert loaded[1]["label"] == 1


def test_rejected_only_and_protected_only_write_one_file(tmp_path: Path):
    assert [file.name for file in write(tmp_path / "a", protected=0, rejected=2).files] == [
        "rejected/part-00000.parquet"
    ]
    assert [file.name for file in write(tmp_path / "b").files] == ["data/part-00000.parquet"]
    assert not (tmp_path / "a/data").exists()
    assert not (tmp_path / "b/rejected").exists()


def test_memory_is_bounded_by_small_row_groups(tmp_path: Path):
    write(tmp_path, protected=600)
    metadata = pq.read_metadata(tmp_path / "data/part-00000.parquet")
    assert [metadata.row_group(group).num_rows for group in range(3)] == [256, 256, 88]
    image = metadata.row_group(0).column(1)
    assert image.path_in_schema == "image.bytes"
    assert image.compression == "UNCOMPRESSED"
    assert not image.has_dictionary_page


def test_large_images_are_flushed_by_bytes(tmp_path: Path):
    with ShardWriter(str(tmp_path), 0, CLASSES) as writer:
        for row in range(4):
            writer.add_protected(str(row), bytes(5 << 20), "x", 0)
    assert pq.read_metadata(tmp_path / "data/part-00000.parquet").num_row_groups == 2


def test_writing_again_gives_the_same_bytes(tmp_path: Path):
    first = write(tmp_path, rejected=2)
    assert write(tmp_path, rejected=2) == first


def test_a_second_attempt_removes_what_the_first_left(tmp_path: Path):
    write(tmp_path, rejected=2)
    write(tmp_path, protected=0, rejected=1)
    assert not (tmp_path / "data/part-00000.parquet").exists()
    write(tmp_path, protected=1)
    assert not (tmp_path / "rejected/part-00000.parquet").exists()


def test_an_exception_leaves_no_file(tmp_path: Path):
    with suppress(RuntimeError), ShardWriter(str(tmp_path), 0, CLASSES) as writer:
        for row in range(300):  # more than one row group, so a file is open
            writer.add_protected(str(row), PNG, "x", 0)
        writer.add_rejected("bad", "bad", "empty file")
        assert any(name.endswith(".tmp") for name in os.listdir(tmp_path / "_work/staging"))
        raise RuntimeError
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_shards_on_another_filesystem():
    with ShardWriter("memory://shards/out", 0, CLASSES) as writer:
        for row in range(4):
            writer.add_protected(f"id{row}", PNG, "x", row % 2)
    source = open_source("memory://shards/out/data")
    listing = source.list()
    assert listing.table["sample_id"].to_pylist() == ["id0", "id1", "id2", "id3"]
    assert [decode(data).rgb.shape for data in source.read(listing.table)] == [(4, 4, 3)] * 4
