"""Blocks of data that does not fit into a window: decoded once, then read from the node's object store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator

import ray

from ue_ray.storage.inputs.blocks import Block

SHARE = 0.5  # of a node's object store, and of the free disk that it spills to, that its crafting workers may fill


class KeptBlocks:
    """Passes over a worker's share of the data. The first decodes it; later ones read the same blocks in that order.

    The blocks lie in the object store of the worker's node, which writes what it has no room for to its disk.
    """

    def __init__(self, stream: Callable[[], Iterable[Block]]) -> None:
        self.stream = stream
        self._kept: list[ray.ObjectRef] | None = None

    def __call__(self) -> Iterator[Block]:
        if self._kept is not None:
            for reference in self._kept:
                yield ray.get(reference)
            return
        kept = []
        for block in self.stream():
            kept.append(ray.put(block))
            yield block
        self._kept = kept  # of a pass that went to its end


def room_for_blocks(workers: int) -> int:
    """Returns how many bytes each of ``workers`` on this node may keep."""
    context = ray.get_runtime_context()
    node = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    store = int(node["Resources"].get("object_store_memory", 0))
    disk = shutil.disk_usage(getattr(context, "get_temp_dir", tempfile.gettempdir)()).free
    return int(SHARE * (store + disk)) // workers
