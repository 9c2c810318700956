"""Tables of sample-wise deltas: each worker's holds its own samples, and reads and sends no others."""

from contextlib import suppress
from math import inf
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import save

from tests.device import COMPUTE
from tests.digits import digit_blocks
from tests.noise.test_contract import config_for
from tests.pair import in_two
from ue_ray.errors import UserError
from ue_ray.learning.collectives import gather_objects, sent_to_first
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting import table_file
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.checkpoint import Checkpoints
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas
from ue_ray.noise.crafting.sample_deltas import SampleTable
from ue_ray.noise.methods import new_method
from ue_ray.storage.filesystem import read_range, write_bytes

BUDGET = Budget(8 / 255)
SIDE = 8


def names(numbers):
    return [f"sample {number}" for number in numbers]


def deltas_of(numbers):
    """Of each sample one level of its own, representable without rounding."""
    levels = torch.tensor([float(number % 255 - 127) for number in numbers])
    return (levels * BUDGET.epsilon / 127).view(-1, 1, 1, 1).expand(-1, 3, SIDE, SIDE)


def table_of(numbers):
    table = SampleTable(BUDGET, SIDE)
    table.hold(names(numbers))
    table.put(names(numbers), deltas_of(numbers))
    return table


def saved(numbers, uri):
    write_bytes(uri, save(table_of(numbers).tensors()))
    return uri


def assert_holds(table, numbers):
    torch.testing.assert_close(table.get(names(numbers)), deltas_of(numbers), rtol=0, atol=1e-8)


def test_a_sample_starts_from_zero_and_keeps_what_it_was_given():
    table = table_of([3, 1, 2])
    table.hold(names([2, 3, 9]))
    assert_holds(table, [2, 1, 3])
    assert not table.get(names([9])).any()
    assert len(table.tensors()["sample_deltas"]) == 4
    with pytest.raises(UserError, match="no delta for sample sample 5"):
        table.get(names([5]))


def test_a_worker_reads_of_saved_tables_what_it_needs(tmp_path, monkeypatch):
    """Two workers' tables, of blocks in turn; the rows are dealt out otherwise than before."""
    blocks = np.arange(4000).reshape(40, 100)
    files = [saved(blocks[first::2].ravel(), str(tmp_path / f"{first}")) for first in range(2)]
    mine = blocks[[0, 1, 17, 38, 39]].ravel()
    asked = []

    def counted(uri, start, length):
        asked.append(length)
        return read_range(uri, start, length)

    monkeypatch.setattr(table_file, "read_range", counted)
    monkeypatch.setattr(table_file, "GAP_BYTES", 1000)
    table = SampleTable(BUDGET, SIDE)
    table.resume(files)
    table.hold(names([*mine, 5000]))
    assert_holds(table, mine)
    assert not table.get(names([5000])).any()
    assert len(table.tensors()["sample_deltas"]) == 501
    assert sum(asked) < 500 * 3 * SIDE**2 + 4000 * 16 + 1000, "the deltas it needs, all keys, and two headers"


@pytest.mark.parametrize(("gap", "chunk"), [(0, 200), (500, 1000), (10_000, 700), (1 << 20, 64 << 20)])
def test_however_it_is_read_the_deltas_are_the_same(tmp_path, monkeypatch, gap, chunk):
    monkeypatch.setattr(table_file, "GAP_BYTES", gap)
    monkeypatch.setattr(table_file, "CHUNK_BYTES", chunk)
    mine = [1, 2, 3, 7, 20, 21, 29]
    table = SampleTable(BUDGET, SIDE)
    table.resume([saved(range(30), str(tmp_path / "a")), saved([], str(tmp_path / "b"))])
    table.hold(names(mine))
    assert_holds(table, mine)


def worker(rank):
    """Gathers tables of 3 and 5 samples; counts what this worker sends, and what it hears of the other's."""
    sent = []
    send = dist.send
    dist.send = lambda tensor, to: (sent.append((tensor.dtype, tensor.nbytes)), send(tensor, to))
    table = table_of([5, 0, 3] if rank == 0 else [1, 7, 2, 6, 4])
    return (
        table.gathered(torch.device("cpu")),
        sent,
        len(table.rows),
        len(list(sent_to_first(torch.ones(rank, 2), "cpu"))),
    )


def test_tables_of_two_workers_are_one_on_the_first(tmp_path):
    (whole, nothing, _, parts), (other, sent, held, others) = in_two(worker, tmp_path)
    alone = table_of(range(8)).gathered(torch.device("cpu"))
    assert all(torch.equal(whole[name], alone[name]) for name in alone)
    assert_holds(SampleTable.restore(BUDGET, whole), range(8))
    assert (len(other["sample_deltas"]), nothing, held, parts, others) == (0, [], 5, 2, 0)
    assert sent == [(torch.uint8, 5 * 16), (torch.int8, 5 * 3 * SIDE**2), (torch.float32, 8)]


CONFIG = config_for("error-minimizing", "sample-wise", "alternating", BUDGET, max_rounds=3, weight_steps=2)


class Killed(Exception):
    pass


def crafted(blocks, place=None, kill_in=0):
    """``kill_in``: the round that is not to end."""

    def report(entry):
        if entry.round == kill_in:
            raise Killed

    windows = Windows(lambda: iter(blocks), 16, COMPUTE)
    deltas = ReplicatedDeltas(10, CONFIG.canvas, CONFIG.budget, COMPUTE.device)
    artifact = new_method(CONFIG, COMPUTE).craft(windows, deltas, report, Checkpoints(place, overhead=inf))
    return artifact.tensors if artifact else None


def assert_same_bits(tensors, others):
    assert all(torch.equal(value, others[name]) for name, value in tensors.items())


def test_a_run_that_was_killed_after_its_last_round_has_all_its_deltas(tmp_path):
    blocks = list(digit_blocks(per_class=4)())
    first, again = crafted(blocks, str(tmp_path)), crafted(blocks, str(tmp_path))
    assert len(first["sample_keys"]) == 40
    assert_same_bits(first, again)


def pair(rank):
    """Crafts in two workers that hold a block each: whole; killed; on from there with the other's block; again."""
    blocks = list(digit_blocks(per_class=20)())
    assert len(blocks) == 2
    mine, others = blocks[rank : rank + 1], blocks[1 - rank : 2 - rank]
    with TemporaryDirectory() as own:
        place = gather_objects(own)[0]
        whole = crafted(mine)
        with suppress(Killed):
            crafted(mine, place, kill_in=3)
        results = whole, crafted(others, place), crafted(others, place)
        gather_objects(None)  # before the folder goes
        return results


def test_two_workers_that_go_on_with_each_others_samples_end_with_the_same_bits(tmp_path):
    (whole, resumed, again), nothing = in_two(pair, tmp_path)
    assert nothing == (None, None, None)
    assert len(whole["sample_keys"]) == 200
    assert whole["sample_deltas"].any()
    assert_same_bits(whole, resumed)
    assert_same_bits(whole, again)
