"""Lists an input in a task: its rows stay in the object store, and the driver gets a summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from ue_ray.distributed.cluster import has_cpus, on_workers, wait_for_room
from ue_ray.distributed.console import say
from ue_ray.errors import UserError
from ue_ray.storage.inputs.blocks import block_plan, natural_side, stratified_rows
from ue_ray.storage.inputs.first_look import first_look
from ue_ray.storage.inputs.listing import NO_LABEL, Source, unseen_classes
from ue_ray.storage.inputs.samples import DEFAULT_HANDLING, Handling
from ue_ray.storage.outputs.formats import shared_names
from ue_ray.storage.outputs.shards import plan_shards

FINGERPRINT = b"fingerprint"  # the key, in the metadata of a table, of the fingerprint of its listing


@dataclass(frozen=True)
class Summary:
    """What the driver gets of an input, whatever the size of the input.

    ``count``: the images; ``left_out``: how many more the input holds, which a selection left out; ``labelled``: those
    that have a class; ``side``: the side, in pixels, at which surrogates and
    victims see them; ``shards``: the number of shards that they are cut into; ``dropped``: the number of files of each
    class that was none, because no image in it can be read; ``unseen``: classes of ``class_names`` that have no file or
    were dropped; ``notes``: what the user should know, a line each.
    """

    count: int
    left_out: int
    labelled: int
    class_names: list[str]
    fingerprint: str
    side: int
    shards: int
    dropped: dict[str, int]
    unseen: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Survey:
    """A listed input. ``table``, ``plan`` and ``shared`` are references: to the rows of the listing, to the (start,
    stop) of each shard, int64 [shards,2], and to what ``shared_names`` found. If the node that holds them is lost, Ray
    lists the input again."""

    source: Source
    handling: Handling
    summary: Summary
    table: ray.ObjectRef
    plan: ray.ObjectRef
    shared: ray.ObjectRef

    def rows(self) -> pa.Table:
        """Returns the rows of the listing. Raises UserError if they are not those of the summary."""
        table = ray.get(self.table)
        if (table.schema.metadata or {}).get(FINGERPRINT) != self.summary.fingerprint.encode():
            raise UserError("the input changed while it was read, and its listing was lost with a node: start again")
        return table


def survey(source: Source, handling: Handling = DEFAULT_HANDLING) -> Survey:
    """Lists ``source``; ``handling`` says how its images are read. Says what is to be noted of it.

    Raises UserError for an input of no use.
    """
    if not has_cpus():  # before its first worker has started, a cluster may be a head alone
        wait_for_room(1, {"CPU": 1}, "a CPU")
    refs: Any = _survey.options(name="list the input", scheduling_strategy=on_workers(1)[0]).remote(source, handling)
    reference, *references = refs
    summary: Summary = ray.get(reference)
    for note in summary.notes:
        say(f"note: {source.uri}: {note}")
    return Survey(source, handling, summary, *references)


# These tasks take no CPU. If their results are lost with a node, Ray runs them again, while those who wait for the
# results may hold all CPUs that are left.
@ray.remote(num_returns=4, num_cpus=0)
def _survey(source: Source, handling: Handling) -> tuple[Summary, pa.Table, np.ndarray, np.ndarray]:
    listed = source.list()
    look = first_look(source, listed, handling)
    listing = look.listing
    plan = np.array(plan_shards(listing.nbytes()), np.int64)
    side = natural_side(look.shapes)
    labels = listing.labels()
    summary = Summary(
        count=len(listing),
        left_out=listed.left_out,
        labelled=int(np.count_nonzero(labels != NO_LABEL)),
        class_names=listing.class_names,
        fingerprint=listed.fingerprint(),  # of the input as it is, whatever can be read of it here
        side=side,
        shards=len(plan),
        dropped=dict(look.dropped),
        unseen=unseen_classes(labels, listing.class_names),
        notes=[note for note in (listed.note, look.note) if note],
    )
    marked = listing.table.replace_schema_metadata({FINGERPRINT: summary.fingerprint})
    return summary, marked, plan, shared_names(handling.format, listing.class_names, handling.extension, marked)


def craft_blocks(survey: Survey, fraction: float, seed: int) -> tuple[int, int, Any]:
    """Chooses a ``fraction`` of each class to craft on.

    Returns the number of rows, the number of blocks that they make, and a reference to the rows of each block.
    """
    refs: Any = _craft_blocks.options(name="craft: choose images", scheduling_strategy=on_workers(1)[0]).remote(
        survey.table, fraction, seed
    )
    rows, count, plan = refs
    return ray.get(rows), ray.get(count), plan


@ray.remote(num_returns=3, num_cpus=0)
def _craft_blocks(table: pa.Table, fraction: float, seed: int) -> tuple[int, int, list[np.ndarray]]:
    rows = stratified_rows(table["label"].to_numpy(), fraction, seed)
    plan = block_plan(rows, seed)
    return len(rows), len(plan), plan
