"""Trains one victim with several Ray Train workers, where one worker would take too long."""

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
from ue_ray.distributed.causes import no_space
from ue_ray.distributed.victims.hardware import Hardware
from ue_ray.distributed.victims.train_victim import train_victim
from ue_ray.errors import RunError, UserError
from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.learning.collectives import rank
from ue_ray.learning.compute import Compute

ATTEMPTS = 3  # at one victim, each from its start: a worker or its node may be lost


def train_together(
    run: VictimRun, images: tuple[Any, Any], store: VictimRuns, hardware: Hardware, epochs: Any
) -> dict[str, Any]:
    """Trains the victim with ``run.workers`` workers; returns its entry of results.json and keeps it in ``store``.

    Each worker has its ``hardware`` and a copy of all images. ``images``: references to those
    to train and to test on. A batch has as many rows as with one worker. Batch normalisation is over the whole batch
    (``collectives.data_parallel``). Each worker has its own source of chance (``train_classifier``). The actor
    ``epochs`` (``Epochs``) is told when an epoch ends.

    Raises UserError for a mistake of the user's, RunError if the training was cut off, TrainingFailedError if it has
    failed ATTEMPTS times.
    """
    board = cluster.beside_the_driver(Board)
    for attempt in range(ATTEMPTS):
        # First the images, which a lost node may have taken along: later, the workers may hold every CPU.
        ray.get(_wait_for.remote(*images))
        try:
            _fit({"run": run, "images": images, "store": store, "hardware": hardware, "board": board, "epochs": epochs})
            break
        except TrainingFailedError:
            if ray.get(board.mistake.remote()):
                break
            if attempt == ATTEMPTS - 1:
                raise
    entry, mistake = ray.get([board.last.remote(), board.mistake.remote()])
    if mistake:
        raise mistake
    if not entry:
        raise RunError(f"the training of {run.plan.model} on {run.train_set} was cut off")
    return dict(entry)


def _fit(setup: dict[str, Any]) -> None:
    hardware: Hardware = setup["hardware"]
    workers, share = setup["run"].workers, hardware.together()
    cluster.wait_for_room(workers, share, f"{workers} workers")
    # Train needs a storage path. It has no checkpoint to put there, so a folder on this node is enough.
    with cluster.own_handlers(), tempfile.TemporaryDirectory(prefix="ue-train-") as folder:
        TorchTrainer(
            _train_on_worker,
            train_loop_config=setup,
            torch_config=TorchConfig(backend="nccl" if hardware.gpu else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers,
                use_gpu=hardware.gpu,
                resources_per_worker=share,
            ),
            run_config=ray.train.RunConfig(name=f"victim {setup['run'].title}", storage_path=folder),
        ).fit()


@ray.remote(num_cpus=0)
def _wait_for(*images: Any) -> None:
    """Ends when ``images`` are made; fails if they cannot be made."""


def _train_on_worker(setup: dict[str, Any]) -> None:
    torch.set_num_threads(setup["hardware"].cpus)
    train, test = ray.get(list(setup["images"]))
    compute = Compute.detect(ray.train.torch.get_device())
    board = setup["board"]
    try:
        entry = train_victim(setup["run"], train, test, compute, setup["store"], setup["epochs"])
    except UserError as mistake:  # the same for all workers; a failure would be tried again
        ray.get(board.blame.remote(mistake))
        return
    except OSError as error:
        if full := no_space(error, setup["store"].uri):
            ray.get(board.blame.remote(full))
        raise
    if rank() == 0:
        ray.get(board.put.remote(entry))
