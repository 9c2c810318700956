"""One victim trained by several Ray Train workers, for those that one worker would be at for too long."""

from __future__ import annotations

import tempfile
from typing import Any

import ray
import ray.train
import torch
from ray.train import TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer

from ue_ray.distributed import cluster
from ue_ray.distributed.boards import Board
from ue_ray.distributed.victims.one_victim import train_one
from ue_ray.errors import RunError, UserError
from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.learning.collectives import rank
from ue_ray.learning.compute import Compute

ATTEMPTS = 3  # at one victim, from its start: a worker or its node may be lost


def check_room(workers: int, cpus: int) -> None:
    """Raises UserError where a local Ray cannot hold ``workers`` of ``cpus`` CPUs, and a GPU each where it has any.

    They would be waited for without end; of a cluster more nodes may come.
    """
    gpus = 1 if cluster.gpus() else 0
    room = cluster.room(cpus, gpus)
    if workers > max(1, room) and not cluster.joined():
        raise UserError(
            f"--workers-per-victim is {workers}, each with --cpus-per-victim {cpus}{' and a GPU' if gpus else ''}: the "
            f"cluster holds {room} of them"
        )


def train_together(
    run: VictimRun, images: tuple[Any, Any], store: VictimRuns, cpus: int, epochs: Any
) -> dict[str, Any]:
    """What came of ``run``, trained by ``run.workers``, each with ``cpus`` CPUs and, where there are GPUs, one of them.

    ``images``: references to its training and test images, of which each worker holds all. A global batch has as
    many rows as with one worker, and batch normalisation is over all of them: on GPUs by torch's SyncBatchNorm, on CPUs
    by ours (``collectives.data_parallel``). Each worker draws its own chance (``train_classifier``).
    The result is kept in ``store``; the actor ``epochs`` (``Epochs``) is told of each as it ends.

    Raises UserError for a mistake of the user's, RunError where it was cut off, TrainingFailedError when ATTEMPTS of it
    have failed.
    """
    board = cluster.beside_the_driver(Board)
    for attempt in range(ATTEMPTS):
        # Before the workers come: images still to be decoded, or again after a node was lost, might find no CPU left.
        ray.get(_there.remote(*images))
        try:
            _fit({"run": run, "images": images, "store": store, "cpus": cpus, "board": board, "epochs": epochs})
            break
        except TrainingFailedError:
            if attempt == ATTEMPTS - 1:
                raise
    result, mistake = ray.get([board.last.remote(), board.mistake.remote()])
    if mistake:
        raise UserError(mistake)
    if not result:
        raise RunError(f"the training of {run.plan.model} on {run.train_set} was cut off")
    return dict(result)


def _fit(setup: dict[str, Any]) -> None:
    gpus = {"GPU": 1} if cluster.gpus() else {}
    # Train insists on a place; it has no checkpoint to put there, so one on this node does.
    with tempfile.TemporaryDirectory(prefix="ue-train-") as place:
        TorchTrainer(
            _train_on_worker,
            train_loop_config=setup,
            torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=setup["run"].workers,
                use_gpu=bool(gpus),
                resources_per_worker={"CPU": setup["cpus"]} | gpus,
            ),
            run_config=ray.train.RunConfig(name="victim", storage_path=place),
        ).fit()


@ray.remote(num_cpus=0)
def _there(*images: Any) -> None:
    """Waits for ``images``; raises what kept them from being made."""


def _train_on_worker(setup: dict[str, Any]) -> None:
    torch.set_num_threads(setup["cpus"])
    run: VictimRun = setup["run"]
    train, test = ray.get(list(setup["images"]))
    compute = Compute.detect(ray.train.torch.get_device())
    board = setup["board"]
    try:
        result = train_one(run, train, test, compute, setup["store"], setup["epochs"])
    except UserError as mistake:  # all workers find the same one; a failure would be tried again
        ray.get(board.blame.remote(str(mistake)))
        return
    if rank() == 0:
        ray.get(board.put.remote(result))
