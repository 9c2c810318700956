"""The Train workers of a crafting, and where the class-wise deltas are meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import ray

from ue_ray.distributed.cluster import largest_nodes, node_shares
from ue_ray.distributed.crafting.delta_actors import SharedDeltas
from ue_ray.learning.collectives import gather_objects, rank, world_size
from ue_ray.learning.compute import Compute, Precision
from ue_ray.learning.machine import usable_cpus
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafting.class_deltas import ClassDeltas, ReplicatedDeltas
from ue_ray.protection.options import DeltaTable

REPLICA_BYTES = {"cpu": 256 << 20, "cuda": 4 << 30}  # the largest table that each worker holds for itself


@dataclass(frozen=True)
class Workers:
    """How many Train workers, and what each holds."""

    count: int
    use_gpu: bool
    compile: bool = False
    precision: Precision = "auto"
    at_least: int | None = None  # go on with so many, where there are no more; None: wait for ``count``
    delta_table: DeltaTable = "auto"

    def share(self) -> dict[str, float]:
        """What a worker asks for. CPUs: its share of a node on which one decoding task still finds room, whichever
        nodes are lost; of a GPU's worker not more than one, to feed it."""
        cpus, _ = node_shares(*largest_nodes(), self.count)
        return {"CPU": min(1.0, cpus), "GPU": 1} if self.use_gpu else {"CPU": cpus}


def threads(workers: int) -> int:
    """Returns how many threads each of ``workers`` on this node may take, of what its container and Ray give it.

    Decoding needs a core only until the window is full.
    """
    here = ray.get_runtime_context().get_node_id()
    given = next((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["NodeID"] == here), 0)
    usable = usable_cpus()
    return max(1, int(min(usable, given or usable) // workers))


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
