"""Error-maximizing (adversarial) noise: the paper's second baseline, PGD on a surrogate trained on the clean images."""

from __future__ import annotations

import torch
from torch import Tensor

from ue_ray.batches import Batch, Windows, step_seed
from ue_ray.collectives import rank, sum_over_workers
from ue_ray.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod, Report, Rounds
from ue_ray.noise.class_wise import delta_pass
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.deltas import ClassDeltas
from ue_ray.noise.surrogate import Surrogate
from ue_ray.noise.tables import ClassTable, surrogate_deltas

FOOLED = 0.8  # a universal noise is done when it fools this share (Moosavi-Dezfooli et al., 2017)


class ErrorMaximizing(NoiseMethod):
    """Sample-wise: PGD-20 away from the label (Madry et al., 2018). Class-wise: one universal delta a class.

    ``stop_error`` and ``max_rounds`` bound the surrogate's training on clean images, one epoch a round; the class-wise
    passes have the same bound again.
    """

    def __init__(self, config: NoiseConfig, compute: Compute) -> None:
        super().__init__(config, compute)
        self.surrogate: Surrogate | None = None
        self.table: ClassTable | None = None

    def craft(self, windows: Windows, deltas: ClassDeltas, report: Report) -> NoiseArtifact | None:
        surrogate = self.surrogate = Surrogate(self.config, self.compute)
        training = Rounds.until_below(self.config.stop_error, report)
        for number, window in zip(range(1, self.config.max_rounds + 1), windows, strict=False):
            wrong = torch.zeros((), dtype=torch.int64, device=self.compute.device)
            for step, batch in enumerate(window.batches(step_seed(self.config.seed, number))):
                clean = torch.zeros(1, 3, 1, 1, device=self.compute.device).expand(len(batch.labels), -1, -1, -1)
                seed = step_seed(self.config.seed, number, step)
                wrong += surrogate.weight_step(batch.images, clean, batch.labels, batch.global_count, seed)
            error = int(sum_over_workers(wrong)) / len(window)
            if training.add(error, len(window)):
                break
        record = {"surrogate": training.record()}
        tensors = surrogate.tensors()
        if self.config.granularity == "class-wise":
            passes = Rounds(f"error above {FOOLED:g}", lambda error: error > FOOLED, report)
            version = 0
            for number, window in zip(range(1, self.config.max_rounds + 1), windows, strict=False):
                seed = step_seed(self.config.seed, number, 0, 0)
                error, version = delta_pass(surrogate, deltas, window, version, seed, maximise=True)
                if passes.add(error, len(window)):
                    break
            record |= passes.record()
            tensors = {"deltas": deltas.table(version)} if rank() == 0 else {}
        else:
            record |= training.record()
        return NoiseArtifact(self.config, tensors, record) if rank() == 0 else None

    def restore(self, tensors: dict[str, Tensor]) -> None:
        if self.config.granularity == "class-wise":
            self.table = ClassTable(tensors)
        else:
            self.surrogate = Surrogate(self.config, self.compute)
            self.surrogate.load(tensors)

    def delta(self, batch: Batch) -> Tensor:
        if self.table is not None:
            return self.table.get(batch.labels)
        assert self.surrogate is not None, "restore an artifact first"
        return surrogate_deltas(self.surrogate, batch, maximise=True)
