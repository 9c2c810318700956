"""Machines that come and go: what counts as a failure. No Ray is started."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from ray.train import TrainingFailedError

from ue_ray.distributed.applying import apply
from ue_ray.distributed.boards import Tries
from ue_ray.distributed.crafting.craft import while_it_moves
from ue_ray.errors import RunError

pytestmark = pytest.mark.ray  # not started, but imported


@pytest.fixture
def worker(monkeypatch):
    """A worker whose shards end at once; of ``worker.lost`` it is lost before it has said so."""
    monkeypatch.setattr("ray.get", lambda value: value)
    done, tries = {}, Tries()
    worker = object.__new__(apply._Protector)
    worker.tries = SimpleNamespace(add=SimpleNamespace(remote=tries.add))
    worker.plan, worker.table = np.array([[0, 2], [2, 4]]), pa.table({"key": list("abcd")})
    worker.lost = set()

    def protect(index, rows):
        if index in worker.lost:
            raise ConnectionError("the node was taken away")
        done[index] = SimpleNamespace(to_json=lambda: str(index))
        return done[index]

    worker.shards = SimpleNamespace(finished=done.get, protect=protect)
    return worker


def test_a_finished_shard_is_not_blamed_for_the_loss_of_its_worker(worker):
    for _ in range(3 * apply.MAX_TRIES):
        assert worker(pa.table({"id": [0]}))["result"].to_pylist() == ["0"]


def test_a_shard_that_always_takes_its_worker_ends_the_run(worker):
    worker.lost = {1}
    for _ in range(apply.MAX_TRIES):
        with pytest.raises(ConnectionError):
            worker(pa.table({"id": [0, 1]}))
    with pytest.raises(RunError, match="shard 1 took its worker with it 5 times"):
        worker(pa.table({"id": [0, 1]}))


@pytest.mark.parametrize(
    ("checkpoints", "attempts"),
    [
        ([None, "a", "b", "c", "d", "e"], 6),  # one more in each attempt: all failures are made up for
        ([None, "a", "a"], 2),
        (["a", "a"], 1),  # that of an earlier run
        ([None, None], 1),
    ],
)
def test_failures_count_where_nothing_was_reached_in_between(checkpoints, attempts):
    """``checkpoints``: the last one after so many attempts."""
    made = []

    def attempt():
        made.append("one")
        if len(made) < 6:
            raise TrainingFailedError("lost")

    def reached():
        return checkpoints[len(made)]

    if attempts == 6:
        while_it_moves(attempt, reached)
    else:
        with pytest.raises(TrainingFailedError):
            while_it_moves(attempt, reached)
    assert len(made) == attempts
