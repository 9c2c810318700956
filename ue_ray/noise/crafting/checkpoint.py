"""Where a craft run is after a round, saved so that a killed one goes on from there: all of it at one version."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from ue_ray.learning.collectives import gather_objects, rank
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.next_batch import NextBatch
from ue_ray.noise.crafting.rounds import Round, Rounds
from ue_ray.noise.crafting.sample_deltas import SampleTable
from ue_ray.noise.crafting.surrogate import Surrogate
from ue_ray.storage.filesystem import join, list_names, read_bytes, read_if_there, remove_tree, write_bytes

LATEST = "latest.json"
OVERHEAD = 0.05


@dataclass
class CraftState:
    """All that changes from round to round; a method sets what it needs.

    ``phases``: the rounds of each part of the optimisation; ``version``: of the class-wise deltas.
    """

    surrogate: Surrogate | None = None
    phases: list[Rounds] = field(default_factory=list)
    deltas: ClassDeltas | None = None
    version: int = 0
    batches: NextBatch | None = None
    table: SampleTable | None = None

    @property
    def network(self) -> Surrogate:
        """The surrogate of a method that has one."""
        assert self.surrogate is not None
        return self.surrogate


class Checkpoints:
    """Checkpoints in the folder ``uri``; none are written, nor found, where it is None.

    A round's files appear one by one and count from the moment ``latest.json`` names them, so a run that is killed
    while it saves goes on from the round before. Every worker calls ``save`` and ``restore`` together.
    """

    def __init__(self, uri: str | None = None, overhead: float = OVERHEAD) -> None:
        self.uri = uri
        self.overhead = overhead
        self.saved = time.monotonic()
        self.cost = 0.0  # seconds that the last one took

    def save(self, state: CraftState) -> None:
        """Save ``state``: after the first round, then whenever it keeps saving below ``overhead`` of the time."""
        if self.uri is None:
            return
        started = time.monotonic()
        if not gather_objects(started - self.saved >= self.cost / self.overhead)[0]:  # worker 0's clock counts
            return
        folder = f"round-{sum(len(phase.rounds) for phase in state.phases):06d}"
        place = join(self.uri, folder)
        tables = []
        if state.table is not None:  # each worker has its own samples'
            write_bytes(join(place, f"table-{rank()}.safetensors"), save(state.table.tensors()))
            tables = [f"table-{worker}.safetensors" for worker in gather_objects(rank())]
        if rank() == 0:
            write_bytes(join(place, "surrogate.safetensors"), save(state.network.training_tensors()))
            latest = {
                "folder": folder,
                "version": state.version,
                "deltas": state.deltas.save(place, state.version) if state.deltas is not None else [],
                "tables": tables,
                "phases": [
                    {"seconds": phase.elapsed(), "rounds": [asdict(entry) for entry in phase.rounds]}
                    for phase in state.phases
                ],
                "batches": state.batches.position() if state.batches is not None else None,
            }
            write_bytes(join(self.uri, LATEST), json.dumps(latest).encode())
            for name in list_names(self.uri):
                if name not in (LATEST, folder):
                    remove_tree(join(self.uri, name))
        self.saved = time.monotonic()
        self.cost = self.saved - started

    def reached(self) -> str | None:
        """Returns the name of the last checkpoint, another one after each ``save``; None without one."""
        latest = self._latest()
        return latest["folder"] if latest is not None else None

    def restore(self, state: CraftState) -> None:
        """Bring ``state``, as it is at the start, to where the last checkpoint was; nothing happens without one."""
        latest = self._latest()
        if latest is None or self.uri is None:
            return
        place = join(self.uri, latest["folder"])
        state.network.load_training(self._tensors(place, "surrogate.safetensors"))
        state.version = latest["version"]
        for phase, saved in zip(state.phases, latest["phases"], strict=True):
            phase.resume([Round(**entry) for entry in saved["rounds"]], saved["seconds"])
        if state.batches is not None:
            state.batches.resume(*latest["batches"])
        if state.table is not None:
            state.table.resume([join(place, name) for name in latest["tables"]])
        if state.deltas is not None:
            state.deltas.restore([join(place, name) for name in latest["deltas"]], state.version)
        gather_objects(None)  # no worker pulls a delta before all have restored them

    def _latest(self) -> dict[str, Any] | None:
        """As worker 0 sees it: all go on from the same round."""
        text = read_if_there(join(self.uri, LATEST)) if self.uri is not None and rank() == 0 else None
        return gather_objects(json.loads(text) if text else None)[0]

    @staticmethod
    def _tensors(place: str, name: str) -> dict[str, Tensor]:
        return load(read_bytes(join(place, name)))
