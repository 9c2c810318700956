import dataclasses
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ue_ray.errors import UserError
from ue_ray.storage.output import CommitError, Output
from ue_ray.storage.shards import ShardRecord, ShardWriter
from ue_ray.storage.sources import open_source


@pytest.fixture
def output(tmp_path: Path) -> Output:
    output = Output(str(tmp_path / "out"))
    output.prepare()
    return output


def write_shards(output: Output, count: int = 2) -> list[ShardRecord]:
    """Each shard: 3 protected, 1 rejected."""
    records = []
    for index in range(count):
        with ShardWriter(output.uri, index, ["cat", "dog"]) as writer:
            for row in range(3):
                writer.add_protected(f"{index}-{row}", b"png", "x", row % 2)
            writer.add_rejected(f"{index}-bad", "bad", "empty file")
        records.append(writer.close())
    return records


def test_a_commit_writes_the_manifest_and_then_success(output: Output):
    assert not output.is_committed()
    records = write_shards(output)
    written = output.commit(8, reversed(records), {"epsilon": "8/255"})
    assert output.is_committed()
    manifest = output.manifest()
    assert manifest == written
    assert (manifest["inputs"], manifest["protected"], manifest["rejected"]) == (8, 6, 2)
    assert manifest["rejected_reasons"] == {"empty file": 2}
    assert manifest["format_version"] == 1
    assert manifest["epsilon"] == "8/255"
    assert datetime.fromisoformat(manifest["created"]).utcoffset() == timedelta(0)
    assert [file["name"] for file in manifest["files"]] == [
        "data/part-00000.parquet",
        "rejected/part-00000.parquet",
        "data/part-00001.parquet",
        "rejected/part-00001.parquet",
    ]
    assert manifest["files"][0]["sha256"] == records[0].files[0].sha256


@pytest.mark.parametrize(("inputs", "difference"), [(9, "-1"), (7, "+1")])
def test_counts_that_differ_are_not_committed(output: Output, inputs: int, difference: str):
    with pytest.raises(CommitError, match=rf"{inputs} inputs, but 6 protected \+ 2 rejected = 8 \(\{difference}\)"):
        output.commit(inputs, write_shards(output), {})
    assert not output.is_committed()
    assert not (Path(output.uri) / "manifest.json").exists()


def test_a_missing_a_short_and_an_unrecorded_file_are_not_committed(output: Output):
    records = write_shards(output)
    file = Path(output.uri) / "data/part-00001.parquet"
    data = file.read_bytes()

    file.write_bytes(data[:-1])
    with pytest.raises(CommitError, match=rf"data/part-00001.parquet has {len(data) - 1} bytes, but {len(data)}"):
        output.commit(8, records, {})
    file.unlink()
    with pytest.raises(CommitError, match=r"data/part-00001.parquet is recorded but missing"):
        output.commit(8, records, {})
    file.write_bytes(data)
    (file.parent / "part-00009.parquet").write_bytes(data)
    with pytest.raises(CommitError, match=r"data/part-00009.parquet is there but in no record"):
        output.commit(8, records, {})
    assert not output.is_committed()


def test_the_same_shard_twice_is_not_committed(output: Output):
    records = write_shards(output)
    with pytest.raises(CommitError, match="shard 1 is recorded twice"):
        output.commit(12, [*records, records[1]], {})


def test_a_leftover_of_a_killed_writer_does_not_stop_a_commit(output: Output):
    records = write_shards(output)
    (Path(output.uri) / "data/.part-00000.parquet.abc.tmp").write_bytes(b"half")
    output.commit(8, records, {})
    assert len(open_source(output.uri).list()) == 6


def test_extra_may_not_repeat_the_manifests_own_keys(output: Output):
    with pytest.raises(ValueError, match="inputs"):
        output.commit(0, [], {"inputs": 3})
    assert not output.is_committed()


def test_a_non_empty_place_is_refused(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError) as caught:
        Output(str(tmp_path)).prepare()
    assert str(caught.value) == f"{tmp_path}: is not empty (holds notes.txt); choose an empty place or remove it"
    with pytest.raises(UserError, match="is a file"):
        Output(str(tmp_path / "notes.txt")).prepare()
    with pytest.raises(UserError, match="cannot be written"):
        Output(str(tmp_path / "notes.txt" / "below")).prepare()


def test_an_empty_place_may_exist_or_not(tmp_path: Path):
    for place in (tmp_path / "new" / "deep", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        Output(str(place)).prepare()
        assert list(place.iterdir()) == []


def test_only_a_committed_output_is_read(output: Output):
    records = write_shards(output)
    (Path(output.uri) / "noise").mkdir()
    with pytest.raises(UserError, match="not committed"):
        open_source(output.uri)
    with pytest.raises(UserError, match="not a committed output"):
        output.manifest()
    output.commit(8, records, {})
    listing = open_source(output.uri).list()
    assert listing.table["sample_id"].to_pylist() == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]
    assert listing.class_names == ["cat", "dog"]


def test_a_commit_elsewhere_than_on_disk():
    output = Output("memory://commit/out")
    output.prepare()
    records = write_shards(output)
    output.commit(8, records, {})
    assert output.is_committed()
    assert output.manifest()["protected"] == 6
    with pytest.raises(UserError, match="is not empty"):
        output.prepare()


def test_an_output_of_rejections_alone_is_committed(output: Output):
    record = dataclasses.replace(write_shards(output, 1)[0], protected=0)
    (Path(output.uri) / "data/part-00000.parquet").unlink()
    record = dataclasses.replace(record, files=record.files[1:])
    assert json.loads(json.dumps(output.commit(1, [record], {})))["protected"] == 0
