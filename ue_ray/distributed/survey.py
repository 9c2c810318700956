"""Listing an input in a task: the driver learns numbers, the rows stay in the object store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from ue_ray.distributed.cluster import causes
from ue_ray.errors import UserError
from ue_ray.storage.inputs.blocks import block_plan, natural_side, probe_shapes, stratified_rows
from ue_ray.storage.inputs.listing import NO_LABEL, Source
from ue_ray.storage.inputs.samples import DEFAULT_HANDLING, Handling
from ue_ray.storage.outputs.shards import plan_shards

FINGERPRINT = b"fingerprint"  # of the whole listing, on its table


@dataclass(frozen=True)
class Summary:
    """What a driver knows of an input, whatever its size.

    ``labelled``: of the ``count`` entries, those that have a class; ``side``: at which surrogates and victims see its
    images; ``shards``: in how many it is cut.
    """

    count: int
    labelled: int
    class_names: list[str]
    fingerprint: str
    side: int
    shards: int


@dataclass(frozen=True)
class Survey:
    """A listed input. ``table`` and ``plan`` are references: to the listing's rows, and to the (start, stop) of each
    shard, int64 [shards, 2]. When the node that holds them is lost, Ray lists the input once more."""

    source: Source
    handling: Handling
    summary: Summary
    table: ray.ObjectRef
    plan: ray.ObjectRef

    def rows(self) -> pa.Table:
        """The listing's rows. Raises UserError if they are not those that the driver knows."""
        table = ray.get(self.table)
        if (table.schema.metadata or {}).get(FINGERPRINT) != self.summary.fingerprint.encode():
            raise UserError("the input changed while it was read, and its listing was lost with a node: start again")
        return table


def survey(source: Source, handling: Handling = DEFAULT_HANDLING) -> Survey:
    """List ``source``, to be read by ``handling``. Raises UserError for an input that cannot be protected."""
    refs: Any = _survey.remote(source, handling)
    summary, table, plan = refs
    with causes():
        return Survey(source, handling, ray.get(summary), table, plan)


# Without a CPU of their own: when their results are lost with a node, they are made again while those who wait for them
# may hold every CPU that is left.
@ray.remote(num_returns=3, num_cpus=0, scheduling_strategy="SPREAD")
def _survey(source: Source, handling: Handling) -> tuple[Summary, pa.Table, np.ndarray]:
    listing = source.list()
    plan = np.array(plan_shards(listing.nbytes()), np.int64)
    side = natural_side(list(probe_shapes(source, listing.table, handling)))
    labelled = int(np.count_nonzero(listing.table["label"].to_numpy() != NO_LABEL))
    summary = Summary(len(listing), labelled, listing.class_names, listing.fingerprint(), side, len(plan))
    marked = listing.table.replace_schema_metadata({FINGERPRINT: summary.fingerprint})
    return summary, marked, plan


def craft_blocks(survey: Survey, fraction: float, seed: int) -> tuple[int, int, Any]:
    """How many rows the noise is crafted on, in how many blocks, and a reference to the blocks' rows."""
    refs: Any = _craft_blocks.remote(survey.table, fraction, seed)
    rows, count, plan = refs
    return ray.get(rows), ray.get(count), plan


@ray.remote(num_returns=3, num_cpus=0, scheduling_strategy="SPREAD")
def _craft_blocks(table: pa.Table, fraction: float, seed: int) -> tuple[int, int, list[np.ndarray]]:
    rows = stratified_rows(table["label"].to_numpy(), fraction, seed)
    plan = block_plan(rows, seed)
    return len(rows), len(plan), plan
