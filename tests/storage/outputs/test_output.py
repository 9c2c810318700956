import dataclasses
import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from ue_ray.errors import UserError
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.layout import OURS
from ue_ray.storage.outputs.output import CommitError, Mode, Output
from ue_ray.storage.outputs.shards import ShardRecord, ShardWriter

CARD = {"input": {"images": 8, "listing": "abc"}, "noise": {"seed": 0, "budget": {"epsilon": 8 / 255}}}


@pytest.fixture
def output(tmp_path: Path) -> Output:
    output = Output(str(tmp_path / "out"))
    output.begin("refuse", CARD)
    return output


def write_shards(output: Output, count: int = 2, format: str = "parquet") -> list[ShardRecord]:
    """Each shard: 3 protected, 1 rejected."""
    records = []
    for index in range(count):
        with ShardWriter(output.uri, index, ["cat", "dog"], format) as writer:
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
    assert manifest["format_version"] == 2
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


def test_files_beside_the_recorded_ones_must_be_there(output: Output):
    records = write_shards(output, format="recordio")
    beside = Path(output.uri) / "data" / "part-00001.idx"
    text = beside.read_bytes()
    beside.rename(beside.with_name("part-00002.idx"))
    with pytest.raises(CommitError, match=r"data/part-00001.idx is recorded but missing"):
        output.commit(8, records, {})
    beside.write_bytes(text)
    with pytest.raises(CommitError, match=r"data/part-00002.idx is there but in no record"):
        output.commit(8, records, {})
    beside.with_name("part-00002.idx").unlink()
    output.commit(8, records, {})
    assert output.is_committed()


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
    output.commit(8, records, {"class_names": ["cat", "dog"]})
    assert len(open_source(output.uri).list()) == 6


def test_extra_may_not_repeat_the_manifests_own_keys(output: Output):
    with pytest.raises(ValueError, match="inputs"):
        output.commit(0, [], {"inputs": 3})
    assert not output.is_committed()


def test_an_overwrite_that_was_killed_halfway_can_be_begun_again(output: Output, monkeypatch):
    """Without _SUCCESS and a run, nothing said that what was left was ours: overwrite refused it."""
    output.commit(8, write_shards(output), {})

    def killed(name: str) -> None:
        raise KeyboardInterrupt

    again = Output(output.uri)
    monkeypatch.setattr(again._store, "remove_tree", killed)
    with pytest.raises(KeyboardInterrupt):
        again.begin("overwrite", CARD)
    assert not again.begun
    again = Output(output.uri)
    with pytest.raises(UserError, match="belongs to another run"):
        again.begin("resume", CARD)
    again.begin("overwrite", CARD)
    assert again.begun
    assert not (Path(output.uri) / "data").exists()


def test_a_non_empty_place_is_refused(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError) as caught:
        Output(str(tmp_path)).begin("refuse", CARD)
    assert str(caught.value) == f"{tmp_path}: is not empty (holds notes.txt): choose an empty place"
    with pytest.raises(UserError, match="is a file"):
        Output(str(tmp_path / "notes.txt")).begin("refuse", CARD)
    with pytest.raises(UserError, match="cannot be written"):
        Output(str(tmp_path / "notes.txt" / "below")).begin("refuse", CARD)


@pytest.mark.parametrize("mode", get_args(Mode))
def test_an_empty_place_may_exist_or_not(tmp_path: Path, mode: Mode):
    for place in (tmp_path / "new" / "deep", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert Output(str(place)).begin(mode, CARD) is None
        assert [entry.name for entry in place.iterdir()] == ["_work"]


def test_the_same_run_goes_on_and_another_is_refused_by_name(output: Output):
    with pytest.raises(UserError, match="holds an unfinished run: --mode resume goes on with it"):
        Output(output.uri).check("refuse")
    again = Output(output.uri)
    assert again.begin("resume", CARD) is None
    assert again.started == output.started
    other = {"input": CARD["input"], "noise": {"seed": 1, "budget": {"epsilon": 16 / 255}}}
    with pytest.raises(
        UserError, match=r"another run: noise.budget.epsilon .* there, .* now; noise.seed 0 there, 1 now"
    ):
        Output(output.uri).begin("resume", other)


def test_a_finished_run_is_found_and_another_is_refused(output: Output):
    written = output.commit(8, write_shards(output), {})
    assert Output(output.uri).begin("resume", CARD) == written
    with pytest.raises(UserError, match=r"another run: input\.images 8 there, 9 now"):
        Output(output.uri).begin("resume", CARD | {"input": {"images": 9, "listing": "abc"}})
    with pytest.raises(UserError, match="holds a committed output"):
        Output(output.uri).begin("refuse", CARD)


@pytest.mark.parametrize("mode", ["resume", "overwrite"])
def test_a_run_that_was_killed_in_its_commit_leaves_nothing_behind(output: Output, mode: Mode):
    """A half-written manifest stayed in the committed output, which was then taken for a folder of images."""
    for name in ("preview.html", "manifest.json", "_SUCCESS"):
        (Path(output.uri) / f".{name}.0123456789abcdef.tmp").write_text("{")
    again = Output(output.uri)
    assert again.begin(mode, CARD) is None
    again.write_preview("page")
    again.commit(8, write_shards(again), {})
    assert {entry.name for entry in Path(output.uri).iterdir()} <= set(OURS)


def test_overwrite_removes_what_runs_wrote_and_nothing_else(output: Output):
    output.commit(8, write_shards(output), {})
    (Path(output.uri) / "notes.txt").write_text("mine")
    assert Output(output.uri).begin("overwrite", {"other": 1}) is None
    assert sorted(entry.name for entry in Path(output.uri).iterdir()) == ["_work", "notes.txt"]


@pytest.mark.parametrize("mode", ["resume", "overwrite"])
def test_a_place_that_holds_something_else_is_left_alone(tmp_path: Path, mode: Mode):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="holds data, and no run of this tool"):
        Output(str(tmp_path)).begin(mode, CARD)
    assert (tmp_path / "data" / "mine.txt").read_text() == "keep"


def test_of_two_runs_at_one_output_the_later_one_commits(output: Output):
    records = write_shards(output)
    later = Output(output.uri)
    later.begin("resume", CARD)
    with pytest.raises(CommitError, match=r"another run has taken this output over$"):
        output.commit(8, records, {})
    assert not output.is_committed()
    manifest = later.commit(8, records, {})
    with pytest.raises(CommitError, match="another run has taken this output over, and has committed it"):
        output.commit(8, records, {})
    assert output.manifest() == manifest


def test_success_holds_the_manifests_digest(output: Output):
    output.commit(8, write_shards(output), {})
    text = (Path(output.uri) / "manifest.json").read_bytes()
    assert (Path(output.uri) / "_SUCCESS").read_text() == hashlib.sha256(text).hexdigest() + "\n"


def test_only_a_committed_output_is_read(output: Output):
    records = write_shards(output)
    (Path(output.uri) / "noise").mkdir()
    with pytest.raises(UserError, match="not committed"):
        open_source(output.uri)
    with pytest.raises(UserError, match="not a committed output"):
        output.manifest()
    output.commit(8, records, {"class_names": ["cat", "dog"]})
    listing = open_source(output.uri).list()
    assert listing.table["sample_id"].to_pylist() == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]
    assert listing.class_names == ["cat", "dog"]


def test_a_commit_elsewhere_than_on_disk():
    output = Output("memory://commit/out")
    output.begin("refuse", CARD)
    records = write_shards(output)
    output.commit(8, records, {})
    assert output.is_committed()
    assert output.manifest()["protected"] == 6
    with pytest.raises(UserError, match="holds a committed output"):
        output.begin("refuse", CARD)


def test_an_output_of_rejections_alone_is_committed(output: Output):
    record = dataclasses.replace(write_shards(output, 1)[0], protected=0)
    (Path(output.uri) / "data/part-00000.parquet").unlink()
    record = dataclasses.replace(record, files=record.files[1:])
    assert json.loads(json.dumps(output.commit(1, [record], {})))["protected"] == 0
