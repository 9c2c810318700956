"""Crafting on Ray: Ray Data streams decoded blocks to Ray Train workers, which run the noise loop together."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import ray
import ray.data
import ray.train
import torch
from ray.train import TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer

from ue_ray.distributed.boards import Board, watching
from ue_ray.distributed.causes import no_space
from ue_ray.distributed.cluster import beside_the_driver, own_handlers, wait_for_room
from ue_ray.distributed.console import Progress
from ue_ray.distributed.crafting.kept_blocks import KeptBlocks, room_for_blocks
from ue_ray.distributed.crafting.pace import Pace
from ue_ray.distributed.crafting.workers import Workers, class_deltas, threads
from ue_ray.distributed.gpus import wait_for_gpus
from ue_ray.distributed.metrics import Metrics
from ue_ray.distributed.stream import block_stream, blocks_of
from ue_ray.distributed.survey import Survey
from ue_ray.errors import UserError
from ue_ray.learning.compute import Compute
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.checkpoint import Checkpoints
from ue_ray.noise.crafting.filling import window_bytes
from ue_ray.noise.crafting.rounds import Round
from ue_ray.noise.methods import METHODS, new_method
from ue_ray.storage.filesystem import join
from ue_ray.storage.inputs.blocks import Block

MAX_FAILURES = 3  # of workers or whole nodes without a new checkpoint: machines that are lent are taken away often


def craft(survey: Survey, config: NoiseConfig, workers: Workers, artifact: str, work: str, run: str) -> None:
    """Craft ``config``'s noise on a surveyed input and save it at the URI ``artifact``, for the output ``run``.

    Checkpoints are kept at the URI ``work``: a worker that is lost is replaced and all go on from the last one, and so
    does this call when there is one already. Both must be within every worker's reach. Raises UserError for a mistake
    of the user's, RunError when workers were lost more than MAX_FAILURES times without a new checkpoint in between.
    """
    fraction = config.options["data_fraction"]
    stream, rows = block_stream(survey, fraction, config.seed, config.image_size, workers.count)
    share, needed = workers.share(), workers.at_least or workers.count
    kind = "GPU" if workers.use_gpu else "CPU"
    wait_for_room(needed, share, f"a {kind}" if needed == 1 else f"{needed} {kind}s")
    if workers.use_gpu:
        wait_for_gpus(needed)
    board = beside_the_driver(Board)
    checkpoints = join(work, "craft")
    setup = {
        "config": config,
        "method": METHODS[config.method],
        "board": board,
        "artifact": artifact,
        "checkpoints": checkpoints,
        "compile": workers.compile,
        "precision": workers.precision,
        "delta_table": workers.delta_table,
        "unseen": survey.summary.unseen,
        "rows": rows,
    }
    progress, metrics = Progress("craft"), Metrics(run)
    pace = Pace(config.options.get("max_rounds", 1))

    def show(entry: dict[str, Any]) -> None:
        last = Round(**entry)
        progress.show(_round_text(last, config), left=pace.left(last))
        metrics.crafting(last)

    with own_handlers(), watching(lambda: ray.get(board.last.remote()), show):
        while_it_moves(lambda: _trainer(setup, workers, stream, work).fit(), Checkpoints(checkpoints).reached)
    last, mistake = ray.get([board.last.remote(), board.mistake.remote()])
    if mistake:
        raise mistake
    if last:
        metrics.crafting(Round(**last))
    progress.done(_round_text(Round(**last), config) if last else "one pass over the images")


def while_it_moves(attempt: Callable[[], Any], reached: Callable[[], Any]) -> None:
    """Calls ``attempt`` until it succeeds, again after each failure before which ``reached`` has changed."""
    while True:
        before = reached()
        try:
            attempt()
            return
        except TrainingFailedError:
            if reached() == before:
                raise


def _trainer(setup: dict[str, Any], workers: Workers, stream: ray.data.Dataset, work: str) -> TorchTrainer:
    return TorchTrainer(
        _craft_on_worker,
        train_loop_config=setup,
        torch_config=TorchConfig(backend="nccl" if workers.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=(workers.at_least, workers.count) if workers.at_least else workers.count,  # type: ignore[arg-type]
            use_gpu=workers.use_gpu,
            resources_per_worker=workers.share(),
        ),
        run_config=ray.train.RunConfig(
            # Of its own each time: Train would take the same name for a run to go on with, and the state is ours.
            name=f"craft-{uuid.uuid4().hex[:12]}",
            storage_path=work,
            failure_config=ray.train.FailureConfig(max_failures=MAX_FAILURES),
        ),
        datasets={"craft": stream},
    )


def _round_text(entry: Round, config: NoiseConfig) -> str:
    return (
        f"round {entry.round} of at most {config.options['max_rounds']}, error {100 * entry.error:.1f} % "
        f"(goal {entry.goal}), {entry.images_per_second:.0f} images/s"
    )


def _craft_on_worker(setup: dict[str, Any]) -> None:
    context = ray.train.get_context()
    torch.set_num_threads(threads(context.get_local_world_size()))
    config: NoiseConfig = setup["config"]
    if ray.get(setup["board"].mistake.remote()):  # of the attempt before: this one would end in the same
        return
    METHODS[config.method] = setup["method"]  # one of the driver's own is not in this process's dict
    compute = Compute.detect(ray.train.torch.get_device(), setup["compile"], setup["precision"])

    def report(entry: Round) -> None:
        if context.get_world_rank() == 0:
            setup["board"].put.remote(asdict(entry))

    deltas = class_deltas(config, compute, setup["delta_table"])
    windows = _windows(config, compute, setup["rows"])
    try:
        artifact = new_method(config, compute).craft(windows, deltas, report, Checkpoints(setup["checkpoints"]))
    except UserError as mistake:  # all workers find the same one; a failure would be tried again
        ray.get(setup["board"].blame.remote(mistake))
        return
    except OSError as error:
        if full := no_space(error, setup["artifact"]):
            ray.get(setup["board"].blame.remote(full))
        raise
    if artifact is not None:
        versions = {"torch": torch.__version__, "ray": ray.__version__}
        artifact.record.update(workers=context.get_world_size(), compute=_described(compute), versions=versions)
        artifact.record["unseen_classes"] = setup["unseen"]
        artifact.save(setup["artifact"])


def _windows(config: NoiseConfig, compute: Compute, all_rows: int) -> Windows:
    """Returns this worker's windows. What does not fit into one is decoded once, where there is room to keep it."""
    context = ray.train.get_context()
    shard = ray.train.get_dataset_shard("craft")

    def stream() -> Iterator[Block]:
        return blocks_of(shard.iter_batches(batch_size=None, batch_format="numpy"))

    beside = context.get_local_world_size()
    rows, most = -(-all_rows // context.get_world_size()), window_bytes(compute.device, beside)
    decoded = rows * 3 * config.image_size**2
    blocks = KeptBlocks(stream) if most < decoded <= room_for_blocks(beside) else stream
    return Windows(blocks, config.options.get("batch_size", 1), compute, rows, most)


def _described(compute: Compute) -> dict[str, Any]:
    return {key: str(value) for key, value in asdict(compute).items()}
