"""A craft run that is killed after a round goes on from its checkpoint and ends with the very same artifact."""

from math import inf

import pytest
import torch

from tests.device import COMPUTE
from tests.digits import digit_blocks
from tests.noise.test_contract import TABLE, config_for
from ue_ray.noise import delta_file
from ue_ray.noise.budget import Budget
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.checkpoint import Checkpoints
from ue_ray.noise.crafting.class_deltas import ReplicatedDeltas
from ue_ray.noise.crafting.rounds import Round
from ue_ray.noise.methods import METHODS, new_method

CRAFTED = [case for case in TABLE if METHODS[case[0]].needs_data]


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def blocks():
    return digit_blocks(per_class=4, side=16)


def craft(config, blocks, checkpoints, kill_in=0):
    """``kill_in``: of the rounds of this call, the one that is not to end."""
    reported = []

    def report(entry: Round) -> None:
        reported.append(entry)
        if len(reported) == kill_in:
            raise Killed

    deltas = ReplicatedDeltas(10, config.canvas, config.budget, COMPUTE.device)
    return new_method(config, COMPUTE).craft(
        Windows(blocks, config.options["batch_size"], COMPUTE), deltas, report, checkpoints
    )


def assert_same_bits(one, other):
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
    assert (one.deltas is None) == (other.deltas is None)
    if one.deltas is not None:
        assert torch.equal(delta_file.whole(one.deltas), delta_file.whole(other.deltas))


@pytest.mark.parametrize("case", CRAFTED, ids="-".join)
def test_killed_twice_and_resumed_it_ends_with_the_same_bits(case, blocks, tmp_path):
    config = config_for(*case, Budget(8 / 255), max_rounds=4, weight_steps=3, batch_size=16, views=("crop",))
    whole = craft(config, blocks, Checkpoints())
    last = [Checkpoints(str(tmp_path)).reached()]
    for _ in range(2):
        with pytest.raises(Killed):
            craft(config, blocks, Checkpoints(str(tmp_path), overhead=inf), kill_in=2)
        last.append(Checkpoints(str(tmp_path)).reached())
    assert last[0] is None
    assert len(set(last)) == 3, "each time it has come further"
    resumed = craft(config, blocks, Checkpoints(str(tmp_path), overhead=inf))

    def reached(artifact):
        return [(entry["round"], entry["error"]) for entry in artifact.record["rounds"]]

    assert reached(resumed) == reached(whole)
    assert_same_bits(resumed, whole)
    assert len(list(tmp_path.iterdir())) == 2, "one round's folder and latest.json"


def test_a_run_that_was_done_is_not_crafted_again(blocks, tmp_path):
    config = config_for("error-minimizing", "class-wise", "online", Budget(8 / 255))
    checkpoints = Checkpoints(str(tmp_path), overhead=inf)
    whole = craft(config, blocks, checkpoints)
    again = craft(config, blocks, checkpoints, kill_in=1)
    assert_same_bits(again, whole)
