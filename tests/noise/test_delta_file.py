import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ue_ray.errors import UserError
from ue_ray.noise import delta_file
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas, read_classes
from ue_ray.noise.delta_file import DeltaFile, in_chunks, whole, write_deltas

SHAPE = (11, 3, 4, 4)
ROW = 4 * 3 * 4 * 4


@pytest.fixture(params=[1, 4 * ROW + 1, 1 << 20], ids=["a row", "four rows", "all"])
def deltas(request, monkeypatch):
    monkeypatch.setattr(delta_file, "CHUNK_BYTES", request.param)
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_what_is_written_is_read_in_any_order(deltas, scheme, tmp_path):
    uri = f"{scheme}{tmp_path}/deltas.safetensors"
    _, chunks = write_deltas(uri, deltas)
    found = DeltaFile(uri, chunks)
    assert found.shape == list(SHAPE)
    assert torch.equal(whole(found), deltas)
    for rows in (torch.tensor([10, 0, 10, 5]), torch.tensor([], dtype=torch.int64), torch.randperm(11)):
        assert torch.equal(found[rows], deltas[rows])


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Opens a table of which a chunk has some rows and some are held; returns it, its deltas and, as they are read, the
    (first row, last row) of each read."""

    def opened(chunk, held):
        monkeypatch.setattr(delta_file, "CHUNK_BYTES", chunk * ROW)
        monkeypatch.setattr(delta_file, "HELD_BYTES", held * ROW)
        deltas = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
        _, chunks = write_deltas(str(tmp_path / "x"), deltas)
        found, made, plain = DeltaFile(str(tmp_path / "x"), chunks), [], delta_file.read_range

        def noted(uri, start, count):
            made.append(((start - found.start) // ROW, (start - found.start + count) // ROW - 1))
            return plain(uri, start, count)

        monkeypatch.setattr(delta_file, "read_range", noted)
        return found, deltas, made

    return opened


ORDER = [9, 2, 9, 0, 5, 10, 2, 7, 4, 0, 9, 1]


def test_what_is_expected_is_read_once_in_the_files_order(table):
    found, deltas, reads = table(chunk=4, held=9)
    found.expect(np.array(ORDER))
    for row in ORDER:
        assert torch.equal(found[torch.tensor([row])], deltas[[row]])
    assert reads == [(0, 3), (4, 7), (8, 10)]


def test_more_than_can_be_held_is_read_in_a_few_sweeps(table):
    found, deltas, reads = table(chunk=4, held=5)
    found.expect(np.array(ORDER))
    for row in ORDER:
        assert torch.equal(found[torch.tensor([row])], deltas[[row]])
        assert len(found._held) <= 5
    assert reads == [(0, 3), (4, 7), (8, 10), (1, 1), (4, 7)]  # 0, 2, 5, 9, 10; then 1, 4, 7, beside 0 and 9


def test_without_an_expectation_a_chunk_is_read_whole_once_and_then_row_by_row(table):
    found, deltas, reads = table(chunk=4, held=2)
    for row in (0, 5, 10, 0, 6, 10):
        assert torch.equal(found[torch.tensor([row])], deltas[[row]])
    assert reads == [(0, 3), (4, 7), (8, 10), (0, 0), (6, 6), (10, 10)]


def test_it_is_a_plain_safetensors_file_and_its_digests_are_its_own(deltas, tmp_path):
    digest, chunks = write_deltas(str(tmp_path / "x"), deltas)
    assert torch.equal(load_file(tmp_path / "x")["deltas"], deltas)
    assert digest == hashlib.sha256((tmp_path / "x").read_bytes()).hexdigest()
    assert len(chunks) == len(list(in_chunks(SHAPE)))


def test_a_flipped_byte_is_found_where_it_is_asked_for(deltas, tmp_path):
    _, chunks = write_deltas(str(tmp_path / "x"), deltas)
    data = bytearray((tmp_path / "x").read_bytes())
    data[-1] ^= 1
    (tmp_path / "x").write_bytes(data)
    found = DeltaFile(str(tmp_path / "x"), chunks)
    with pytest.raises(UserError, match="is damaged"):
        found[torch.tensor([10])]


@pytest.mark.parametrize("cut", [0, 7, 40, -1])
def test_a_file_that_was_cut_or_is_no_such_file_is_refused(cut, tmp_path):
    write_deltas(str(tmp_path / "x"), torch.zeros(SHAPE))
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(data[:cut])
    with pytest.raises((ValueError, OSError)):
        DeltaFile(str(tmp_path / "x"))
    (tmp_path / "x").write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match="no header"):
        DeltaFile(str(tmp_path / "x"))


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("later", [1, 2, 4])
def test_classes_are_found_in_the_files_of_any_number_of_shards(deltas, shards, later, tmp_path):
    files = [str(tmp_path / f"{shard}") for shard in range(shards)]
    for shard, uri in enumerate(files):
        write_deltas(uri, deltas[shard::shards])
    for shard in range(later):
        classes = range(shard, 11, later)
        into = torch.zeros(len(classes), *SHAPE[1:])
        read_classes(files, classes, into)
        assert torch.equal(into, deltas[shard::later])


def test_a_local_table_is_saved_and_restored(deltas, tmp_path):
    table = ReplicatedDeltas(11, 4, Budget(8 / 255))
    table.deltas.copy_(deltas)
    names = table.save(str(tmp_path), 0)
    other = ReplicatedDeltas(11, 4, Budget(8 / 255))
    other.restore([str(tmp_path / name) for name in names], 0)
    assert torch.equal(other.deltas, deltas)
