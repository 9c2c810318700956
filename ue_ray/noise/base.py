"""What every method of making noise is."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ue_ray.batches import Batch, Windows
from ue_ray.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.canvas import spread
from ue_ray.noise.config import Granularity, NoiseConfig
from ue_ray.noise.deltas import ClassDeltas


@dataclass(frozen=True)
class Round:
    """One round of crafting, as it is shown and recorded; ``error`` is the share misclassified, in [0, 1]."""

    round: int
    error: float
    images_per_second: float
    seconds: float
    goal: str


Report = Callable[[Round], None]


class NoiseMethod(ABC):
    """Crafts a noise from a collection, and gives each image its delta.

    ``craft`` runs on every worker alike and returns the artifact on worker 0, None on the others. ``delta`` is what a
    method is about; ``perturb`` wraps it, so no method can leave the budget.
    """

    granularities: ClassVar[tuple[Granularity, ...]] = ("class-wise", "sample-wise")

    def __init__(self, config: NoiseConfig, compute: Compute) -> None:
        self.config = config
        self.compute = compute

    @abstractmethod
    def craft(self, windows: Windows, deltas: ClassDeltas, report: Report) -> NoiseArtifact | None:
        """Run the method's optimisation; ``deltas`` is the shared table that class-wise noise lives in."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up a crafted artifact's tensors, to perturb images with them."""

    @abstractmethod
    def delta(self, batch: Batch) -> Tensor:
        """float32 [N,3,s,s] on the canvas. Each sample's delta must depend on that sample alone, not on its batch."""

    def perturb(self, batch: Batch) -> Tensor:
        """Each image's delta inside the budget: float32 [N,3,s,s] on the CPU, s the canvas' side.

        Raises UserError when the artifact has nothing for a sample.
        """
        return self.config.budget.project(self.delta(batch)).cpu()

    def protect(self, images: Sequence[np.ndarray], deltas: Tensor) -> list[np.ndarray]:
        """Decoded images, uint8 [H,W,3] each of its own size, carrying their ``deltas`` [N,3,s,s]: rounded once."""
        protected: list[np.ndarray] = [np.empty(0)] * len(images)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for row, image in enumerate(images):
            by_size.setdefault(image.shape[:2], []).append(row)
        for (height, width), rows in by_size.items():
            stacked = torch.from_numpy(np.stack([images[row] for row in rows])).permute(0, 3, 1, 2)
            moved = self.config.budget.apply(stacked, spread(deltas[rows], height, width))
            for row, image in zip(rows, moved.permute(0, 2, 3, 1).contiguous().numpy(), strict=True):
                protected[row] = image
        return protected


class Rounds:
    """The record of a craft run: reports each round and says when to stop."""

    def __init__(self, goal: str, met: Callable[[float], bool], report: Report) -> None:
        self.goal = goal
        self.met = met
        self.report = report
        self.rounds: list[Round] = []
        self.stopped_by = "round limit"
        self.started = self._round_started = time.perf_counter()

    @staticmethod
    def until_below(error: float, report: Report) -> Rounds:
        """Algorithm 1's: until the error rate is below lambda."""
        return Rounds(f"error below {error:g}", lambda reached: reached < error, report)

    def add(self, error: float, images: int) -> bool:
        """Record a round over so many ``images``; True when its ``error`` meets the goal."""
        now = time.perf_counter()
        seconds = now - self._round_started
        self._round_started = now
        self.rounds.append(Round(len(self.rounds) + 1, error, images / seconds, now - self.started, self.goal))
        self.report(self.rounds[-1])
        done = self.met(error)
        if done:
            self.stopped_by = self.goal
        return done

    def record(self) -> dict[str, Any]:
        """For the artifact's card. A run that stopped at the bound says so."""
        return {
            "goal": self.goal,
            "stopped_by": self.stopped_by,
            "error": self.rounds[-1].error if self.rounds else None,
            "seconds": time.perf_counter() - self.started,
            "rounds": [asdict(entry) for entry in self.rounds],
        }
