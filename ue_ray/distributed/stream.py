"""What Ray Data deals out: numbers of shards to apply, decoded blocks to craft on. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from ue_ray.distributed.cluster import cpus, largest_nodes, node_shares
from ue_ray.distributed.survey import Survey, craft_blocks
from ue_ray.images.labelled import LabelledImages
from ue_ray.storage.inputs.blocks import BLOCK_ROWS, Block, decode_block

MAX_BLOCKS = 4096  # that the driver holds, whatever the input's size
TASK_BYTES = 4 << 20  # decoded pixels of a task, or one block: below that Ray's own cost of a task shows
NO_ROW = -1  # the position of a row that only fills up: an undecodable image, or padding


def numbered(count: int, most: int = MAX_BLOCKS) -> ray.data.Dataset:
    """The numbers below ``count`` as rows ``id``, in at most ``most`` blocks.

    Made by the driver: tasks that read them (``ray.data.range``) would wait for a whole CPU each, for ever where those
    who take the numbers hold all.
    """
    return ray.data.from_blocks([pa.table({"id": some}) for some in np.array_split(np.arange(count), min(count, most))])


def block_stream(survey: Survey, fraction: float, seed: int, side: int, workers: int) -> tuple[ray.data.Dataset, int]:
    """A ``fraction`` of the input as blocks of images decoded at ``side``, one image a row; and the number of rows.

    Train deals the rows out in equal shares and drops a remainder, so the last block is filled up with rows of no
    position; an image that cannot be decoded becomes such a row too.
    """
    total, count, plan_ref = craft_blocks(survey, fraction, seed)
    padding = -total % workers

    def read(batch: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
        plan, rows = ray.get(plan_ref), survey.rows()
        for number in batch["id"].tolist():
            rows_to_fill = len(plan[number]) + (padding if number == count - 1 else 0)
            yield _filled(decode_block(survey.source, rows, plan[number], side, survey.handling), rows_to_fill)

    _, share = node_shares(*largest_nodes(), workers)
    together = max(1, TASK_BYTES // (BLOCK_ROWS * 3 * side**2))
    tasks = min(MAX_BLOCKS, max(-(-count // together), int(4 * cpus())))
    blocks = numbered(count, tasks).map_batches(read, batch_size=None, num_cpus=share)
    blocks.set_name("craft-decode")
    return blocks, total + padding


def blocks_of(batches: Iterable[dict[str, np.ndarray]]) -> Iterator[Block]:
    """What a worker's share of the stream holds, without the rows that only fill up."""
    for rows in batches:
        real = rows["position"] != NO_ROW
        ids = [str(value) for value in rows["sample_id"][real]]
        yield Block(rows["position"][real], LabelledImages(rows["image"][real], rows["label"][real], ids))


def _filled(block: Block, count: int) -> dict[str, Any]:
    missing = count - len(block.positions)
    return {
        "position": np.concatenate([block.positions, np.full(missing, NO_ROW)]),
        "image": np.concatenate([block.rows.images, np.zeros((missing, *block.rows.images.shape[1:]), np.uint8)]),
        "label": np.concatenate([block.rows.labels, np.zeros(missing, np.int64)]),
        "sample_id": np.array([*block.rows.sample_ids, *[""] * missing]),
    }
