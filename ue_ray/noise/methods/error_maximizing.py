"""Error-maximizing (adversarial) noise: the paper's second baseline, PGD on a surrogate trained on the clean images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from ue_ray.learning.collectives import sum_over_workers
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import Granularity, NoiseConfig
from ue_ray.noise.crafted import ClassNoise, Noise, SurrogateNoise
from ue_ray.noise.crafting.batches import Window, step_seed
from ue_ray.noise.crafting.checkpoint import CraftState
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.class_pass import delta_pass
from ue_ray.noise.crafting.options import CraftOptions, algorithm_1_defaults
from ue_ray.noise.crafting.rounds import Report, Rounds
from ue_ray.noise.crafting.surrogate import Move, Surrogate

FOOLED = 0.8  # a universal noise is done when it fools this share (Moosavi-Dezfooli et al., 2017)


class ErrorMaximizing(NoiseMethod):
    """Sample-wise: PGD-20 away from the label (Madry et al., 2018). Class-wise: one universal delta a class.

    ``stop_error`` and ``max_rounds`` bound the surrogate's training on clean images, one epoch a round; the class-wise
    passes have the same bound again.
    """

    Options = CraftOptions

    @classmethod
    def defaults(
        cls, granularity: Granularity, budget: Budget, given: Mapping[str, Any], images: int, gpu: bool
    ) -> dict[str, Any]:
        return algorithm_1_defaults(granularity, budget.epsilon, given, images, gpu)

    @staticmethod
    def computes_deltas(config: NoiseConfig) -> bool:
        return config.granularity == "sample-wise"

    def start(self, deltas: ClassDeltas | None, report: Report) -> CraftState:
        state = CraftState(Surrogate(self.config, self.options, self.compute))
        most = self.options.max_rounds
        state.phases = [
            Rounds.until_below(self.options.stop_error, most, report, partial(self._train, state), name="surrogate")
        ]
        if self.config.granularity == "class-wise":
            state.deltas = deltas
            fooled = partial(self._move, state)
            state.phases.append(Rounds(f"error above {FOOLED:g}", lambda error: error > FOOLED, most, report, fooled))
        return state

    def mover(self, surrogate: Surrogate) -> Move:
        """Returns how deltas are moved on the trained surrogate; what it counts is images that are fooled."""
        return surrogate.maximise

    def _train(self, state: CraftState, number: int, window: Window) -> tuple[float, int]:
        """One epoch of the surrogate on clean images."""
        wrong = torch.zeros((), dtype=torch.int64, device=self.compute.device)
        for step, batch in enumerate(window.batches(step_seed(self.config.seed, number))):
            clean = torch.zeros(1, 3, 1, 1, device=self.compute.device).expand(len(batch.labels), -1, -1, -1)
            seed = step_seed(self.config.seed, number, step)
            wrong += state.network.weight_step(batch.images, clean, batch.labels, batch.global_count, seed)
        return int(sum_over_workers(wrong)) / len(window), len(window)

    def _move(self, state: CraftState, number: int, window: Window) -> tuple[float, int]:
        """One pass that moves every class's delta."""
        seed = step_seed(self.config.seed, number, 0, 0)
        error, _ = delta_pass(state, window, seed, self.mover(state.network))
        return error, len(window)

    def result(self, state: CraftState) -> dict[str, Any]:
        if state.deltas is not None:
            return {"deltas": state.deltas.table(state.version)}
        return {"tensors": state.network.tensors()}

    def noise(self, artifact: NoiseArtifact) -> Noise:
        if artifact.deltas is not None:
            return ClassNoise(self.config, self.compute, artifact.deltas)
        surrogate = Surrogate(self.config, self.options, self.compute)
        return SurrogateNoise(surrogate, artifact.tensors, self.mover(surrogate))
