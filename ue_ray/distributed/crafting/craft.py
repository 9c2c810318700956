"""Crafting on Ray: Ray Data streams decoded blocks to Ray Train workers, which run the noise loop together."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import ray
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer

from ue_ray.distributed.boards import Board, watching
from ue_ray.distributed.cluster import beside_the_driver, causes, largest_nodes, node_shares
from ue_ray.distributed.console import Progress
from ue_ray.distributed.crafting.delta_actors import SharedDeltas
from ue_ray.distributed.stream import block_stream, blocks_of
from ue_ray.distributed.survey import Survey
from ue_ray.errors import UserError
from ue_ray.learning.collectives import gather_objects, rank, world_size
from ue_ray.learning.compute import Compute
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.checkpoint import Checkpoints
from ue_ray.noise.crafting.class_deltas import ClassDeltas, ReplicatedDeltas
from ue_ray.noise.crafting.rounds import Round
from ue_ray.noise.methods import new_method
from ue_ray.storage.filesystem import join
from ue_ray.storage.inputs.blocks import Block

DeltaTable = Literal["auto", "replicated", "actors"]
REPLICA_BYTES = {"cpu": 256 << 20, "cuda": 4 << 30}  # the largest table that each worker holds for itself
MAX_FAILURES = 3  # of workers or whole nodes, after each of which crafting goes on from its last checkpoint


@dataclass(frozen=True)
class Workers:
    """How many Train workers, and what each holds."""

    count: int
    use_gpu: bool
    compile: bool = False
    at_least: int | None = None  # go on with so many, where there are no more; None: wait for ``count``
    delta_table: DeltaTable = "auto"

    def cpus_each(self) -> float:
        """CPUs that a worker asks for: its share of a node on which one decoding task still finds room, whichever nodes
        are lost; of a GPU's worker not more than one, to feed it."""
        share, _ = node_shares(*largest_nodes(), self.count)
        return min(1.0, share) if self.use_gpu else share


def craft(survey: Survey, config: NoiseConfig, workers: Workers, artifact: str, work: str) -> None:
    """Craft ``config``'s noise on a surveyed input and save it at the URI ``artifact``.

    Checkpoints are kept at the URI ``work``: a worker that is lost is replaced and all go on from the last one, and so
    does this call when there is one already. Both must be within every worker's reach. Raises UserError for a mistake
    of the user's, RunError when workers were lost more than MAX_FAILURES times.
    """
    stream = block_stream(survey, config.data_fraction, config.seed, config.image_size, workers.count)
    board = beside_the_driver(Board)
    trainer = TorchTrainer(
        _craft_on_worker,
        train_loop_config={
            "config": config,
            "board": board,
            "artifact": artifact,
            "checkpoints": join(work, "craft"),
            "compile": workers.compile,
            "delta_table": workers.delta_table,
        },
        torch_config=TorchConfig(backend="nccl" if workers.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=(workers.at_least, workers.count) if workers.at_least else workers.count,  # type: ignore[arg-type]
            use_gpu=workers.use_gpu,
            resources_per_worker={"CPU": workers.cpus_each()} | ({"GPU": 1} if workers.use_gpu else {}),
        ),
        run_config=ray.train.RunConfig(
            # Of its own each time: Train would take the same name for a run to go on with, and the state is ours.
            name=f"train-{uuid.uuid4().hex[:12]}",
            storage_path=work,
            failure_config=ray.train.FailureConfig(max_failures=MAX_FAILURES),
        ),
        datasets={"craft": stream},
    )
    progress = Progress("craft")

    def show(entry: dict[str, Any]) -> None:
        last = Round(**entry)
        progress.show(_round_text(last, config), at_most=_seconds_left(last, config))

    with causes(), watching(lambda: ray.get(board.last.remote()), show):
        trainer.fit()
    last, mistake = ray.get([board.last.remote(), board.mistake.remote()])
    if mistake:
        raise UserError(mistake)
    progress.done(_round_text(Round(**last), config) if last else "nothing to optimise")


def _seconds_left(entry: Round, config: NoiseConfig) -> float:
    return entry.seconds / entry.round * (config.max_rounds - entry.round)


def _round_text(entry: Round, config: NoiseConfig) -> str:
    return (
        f"round {entry.round} of at most {config.max_rounds}, error {100 * entry.error:.1f} % "
        f"(goal {entry.goal}), {entry.images_per_second:.0f} images/s"
    )


def _craft_on_worker(setup: dict[str, Any]) -> None:
    context = ray.train.get_context()
    torch.set_num_threads(_threads(context))
    config: NoiseConfig = setup["config"]
    compute = Compute.detect(ray.train.torch.get_device(), setup["compile"])
    shard = ray.train.get_dataset_shard("craft")

    def blocks() -> Iterator[Block]:
        return blocks_of(shard.iter_batches(batch_size=None, batch_format="numpy"))

    def report(entry: Round) -> None:
        if context.get_world_rank() == 0:
            setup["board"].put.remote(asdict(entry))

    deltas = class_deltas(config, compute, setup["delta_table"])
    windows = Windows(blocks, config.batch_size, compute)
    try:
        artifact = new_method(config, compute).craft(windows, deltas, report, Checkpoints(setup["checkpoints"]))
    except UserError as mistake:  # all workers find the same one; a failure would be tried again
        ray.get(setup["board"].blame.remote(str(mistake)))
        return
    if artifact is not None:
        versions = {"torch": torch.__version__, "ray": ray.__version__}
        artifact.record.update(workers=context.get_world_size(), compute=_described(compute), versions=versions)
        artifact.save(setup["artifact"])


def default_table(classes: int, side: int, device: str) -> DeltaTable:
    return "replicated" if 4 * classes * 3 * side**2 <= REPLICA_BYTES[device] else "actors"


def class_deltas(config: NoiseConfig, compute: Compute, where: DeltaTable) -> ClassDeltas:
    """The table of class-wise deltas: replicated in the workers, which is quicker by far where the deltas are small; in
    actors where it is too large for that.

    The actors are new for each attempt and owned by worker 0: they end with it, and no former one can push to them.
    """
    classes = len(config.class_names) if config.granularity == "class-wise" else 0
    if where == "auto":
        where = default_table(classes, config.canvas, compute.device.type)
    if where == "replicated" or classes == 0:
        return ReplicatedDeltas(classes, config.canvas, config.budget, compute.device)
    deltas = None
    if rank() == 0:
        deltas = SharedDeltas.create(classes, config.canvas, config.budget, world_size(), shards=world_size())
    return gather_objects(deltas)[0]


def _threads(context: Any) -> int:
    """This worker's share of the machine's cores: decoding needs a core only until the window is full."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS
    return max(1, usable // context.get_local_world_size())


def _described(compute: Compute) -> dict[str, Any]:
    return {key: str(value) for key, value in asdict(compute).items()}
