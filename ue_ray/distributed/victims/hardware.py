"""What each worker that trains a victim asks Ray for."""

from __future__ import annotations

from dataclasses import dataclass

from ue_ray.distributed import cluster
from ue_ray.errors import UserError
from ue_ray.evaluation.runs import VictimRun
from ue_ray.learning.models.memory import training_bytes
from ue_ray.learning.models.whitening import PREFIX

SMALLEST_GPU = 16 << 30  # bytes, of the smallest card that trains side by side
OWN = 1 << 30  # bytes, of each process on a GPU: its kernels and libraries
SHARES = (0.25, 0.5)  # more side by side do not train faster


@dataclass(frozen=True)
class Hardware:
    """``cpus``: of each worker; ``gpu``: whether it has a GPU."""

    cpus: int
    gpu: bool

    def check_room(self, workers: int) -> None:
        """Raises UserError if a local Ray is too small for ``workers`` together.

        Ray would wait for them without end. A cluster may still get more nodes, so nothing is checked there.
        """
        room = cluster.room(self.cpus, int(self.gpu))
        if workers > max(1, room) and not cluster.joined():
            raise UserError(
                f"--workers-per-victim is {workers}, each with --cpus-per-victim {self.cpus}"
                f"{' and a GPU' if self.gpu else ''}: the cluster holds {room} of them"
            )

    def together(self) -> dict[str, float]:
        """Returns what a worker of several asks for."""
        return {"CPU": self.cpus, "GPU": int(self.gpu)}

    def alone(self, run: VictimRun, again: bool = False) -> dict[str, float]:
        """Returns what the one worker of ``run`` asks for: of a GPU, the part whose memory its network fits into, by
        size and batch. ``again``: after it has run out of memory, a whole one. No more CPUs than the largest node has.
        """
        share = 1.0 if again else gpu_share(run.plan.model, run.side, run.plan.batch_size)
        return {"CPU": min(self.cpus, cluster.largest_nodes()[0]), "GPU": share if self.gpu else 0}


def gpu_share(model: str, side: int, batch_size: int) -> float:
    """Returns the part of a GPU, 0.25, 0.5 or 1, that a victim takes; even the smallest card has room for so many."""
    needed = OWN + training_bytes(model.removeprefix(PREFIX), side, batch_size)
    return next((share for share in SHARES if needed <= share * SMALLEST_GPU), 1.0)
