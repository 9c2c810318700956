"""Uniform random noise in the budget: the paper's first baseline, and every evaluation's control."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ue_ray.learning.collectives import rank
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafted import Noise
from ue_ray.noise.crafting.batches import Batch, Windows, own_generator
from ue_ray.noise.crafting.checkpoint import Checkpoints
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.rounds import Report


class Random(NoiseMethod):
    """Nothing to optimise or to keep: all follows from the configuration's seed."""

    @staticmethod
    def uses_network(config: NoiseConfig) -> bool:
        return False

    def craft(
        self, windows: Windows, deltas: ClassDeltas, report: Report, checkpoints: Checkpoints
    ) -> NoiseArtifact | None:
        return self.seeded() if rank() == 0 else None

    def seeded(self) -> NoiseArtifact:
        """The artifact, which needs no data."""
        nothing = "nothing to optimise"
        return NoiseArtifact(self.config, record={"goal": nothing, "stopped_by": nothing, "error": None, "rounds": []})

    def noise(self, artifact: NoiseArtifact) -> Noise:
        return RandomNoise(self.config, self.compute)


class RandomNoise(Noise):
    """Each delta from a generator of its own, seeded by the class or the sample_id."""

    def delta(self, batch: Batch) -> Tensor:
        if self.config.granularity == "class-wise":
            classes, members = batch.labels.cpu().unique(return_inverse=True)
            return self._drawn([self.config.class_names[label] for label in classes.tolist()])[members]
        return self._drawn(batch.sample_ids)

    def _drawn(self, names: Sequence[str]) -> Tensor:
        shape = (3, self.config.canvas, self.config.canvas)
        drawn = np.empty((len(names), *shape), np.float32)
        for row, name in enumerate(names):
            drawn[row] = own_generator(self.config.seed, name).uniform(-1, 1, shape)
        return torch.from_numpy(drawn) * self.config.budget.epsilon
