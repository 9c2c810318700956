"""Error-maximizing (adversarial) noise: the paper's second baseline, PGD on a surrogate trained on the clean images."""

from __future__ import annotations

import torch

from ue_ray.learning.collectives import rank, sum_over_workers
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.crafted import ClassNoise, Noise, SurrogateNoise
from ue_ray.noise.crafting.batches import Windows, step_seed
from ue_ray.noise.crafting.checkpoint import Checkpoints, CraftState
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.class_pass import delta_pass
from ue_ray.noise.crafting.rounds import Report, Rounds
from ue_ray.noise.crafting.surrogate import Surrogate

FOOLED = 0.8  # a universal noise is done when it fools this share (Moosavi-Dezfooli et al., 2017)


class ErrorMaximizing(NoiseMethod):
    """Sample-wise: PGD-20 away from the label (Madry et al., 2018). Class-wise: one universal delta a class.

    ``stop_error`` and ``max_rounds`` bound the surrogate's training on clean images, one epoch a round; the class-wise
    passes have the same bound again.
    """

    def craft(
        self, windows: Windows, deltas: ClassDeltas, report: Report, checkpoints: Checkpoints
    ) -> NoiseArtifact | None:
        config = self.config
        surrogate = Surrogate(config, self.compute)
        class_wise = config.granularity == "class-wise"
        training = Rounds.until_below(config.stop_error, config.max_rounds, report)
        passes = Rounds(f"error above {FOOLED:g}", lambda error: error > FOOLED, config.max_rounds, report)
        state = CraftState(surrogate, [training, passes], deltas=deltas if class_wise else None)
        checkpoints.restore(state)
        for number, window in training.over(windows):
            wrong = torch.zeros((), dtype=torch.int64, device=self.compute.device)
            for step, batch in enumerate(window.batches(step_seed(config.seed, number))):
                clean = torch.zeros(1, 3, 1, 1, device=self.compute.device).expand(len(batch.labels), -1, -1, -1)
                seed = step_seed(config.seed, number, step)
                wrong += surrogate.weight_step(batch.images, clean, batch.labels, batch.global_count, seed)
            training.add(int(sum_over_workers(wrong)) / len(window), len(window))
            checkpoints.save(state)
        if not class_wise:
            record = {"surrogate": training.record()} | training.record()
            return NoiseArtifact(config, surrogate.tensors(), record=record) if rank() == 0 else None
        for number, window in passes.over(windows):
            seed = step_seed(config.seed, number, 0, 0)
            error, state.version = delta_pass(surrogate, deltas, window, state.version, seed, maximise=True)
            passes.add(error, len(window))
            checkpoints.save(state)
        record = {"surrogate": training.record()} | passes.record()
        return NoiseArtifact(config, deltas=deltas.table(state.version), record=record) if rank() == 0 else None

    def noise(self, artifact: NoiseArtifact) -> Noise:
        if artifact.deltas is not None:
            return ClassNoise(self.config, self.compute, artifact.deltas)
        return SurrogateNoise(self.config, self.compute, artifact.tensors, maximise=True)
