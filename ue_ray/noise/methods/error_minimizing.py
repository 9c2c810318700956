"""Error-minimizing noise: the min-min optimisation of Eq. 2, by Algorithm 1 (Huang et al., ICLR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from ue_ray.errors import UserError
from ue_ray.learning.collectives import gather_objects, rank, sum_over_workers
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafted import ClassNoise, Noise, SampleNoise, SurrogateNoise
from ue_ray.noise.crafting.batches import Windows, step_seed
from ue_ray.noise.crafting.checkpoint import Checkpoints, CraftState
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.class_pass import delta_pass
from ue_ray.noise.crafting.next_batch import NextBatch
from ue_ray.noise.crafting.rounds import Report, Rounds
from ue_ray.noise.crafting.sample_deltas import SampleTable
from ue_ray.noise.crafting.surrogate import Surrogate
from ue_ray.noise.delta_file import DeltaRows


class ErrorMinimizing(NoiseMethod):
    """Class-wise, and sample-wise by one of two schedules.

    ``alternating`` is Algorithm 1 to the letter: M weight steps, then one pass that moves every delta. ``online`` keeps
    no table: each batch's deltas are found from zero by T steps of PGD on the current surrogate, which then takes one
    weight step on that batch; an image's final delta is found the same way on the final surrogate.
    """

    @staticmethod
    def uses_network(config: NoiseConfig) -> bool:
        return config.granularity == "sample-wise" and config.schedule == "online"

    def craft(
        self, windows: Windows, deltas: ClassDeltas, report: Report, checkpoints: Checkpoints
    ) -> NoiseArtifact | None:
        surrogate = Surrogate(self.config, self.compute)
        rounds = Rounds.until_below(self.config.stop_error, self.config.max_rounds, report)
        if self.config.granularity == "class-wise":
            table = self._craft_class_wise(surrogate, windows, deltas, rounds, checkpoints)
            return NoiseArtifact(self.config, deltas=table, record=rounds.record()) if rank() == 0 else None
        if self.config.schedule == "online":
            tensors = self._craft_online(surrogate, windows, rounds, checkpoints)
        else:
            tensors = self._craft_alternating(surrogate, windows, rounds, checkpoints)
        return NoiseArtifact(self.config, tensors, record=rounds.record()) if rank() == 0 else None

    def _craft_class_wise(
        self, surrogate: Surrogate, windows: Windows, deltas: ClassDeltas, rounds: Rounds, checkpoints: Checkpoints
    ) -> DeltaRows:
        next_batch = NextBatch(self.config.seed)
        state = CraftState(surrogate, [rounds], deltas=deltas, batches=next_batch)
        checkpoints.restore(state)
        for number, window in rounds.over(windows):
            for step in range(self.config.weight_steps):
                batch = next_batch(window)
                classes, members = batch.labels.unique(return_inverse=True)
                current = deltas.pull(classes, state.version)
                seed = step_seed(self.config.seed, number, step)
                surrogate.weight_step(batch.images, current[members], batch.labels, batch.global_count, seed)
            seed = step_seed(self.config.seed, number)
            error, state.version = delta_pass(surrogate, deltas, window, state.version, seed)
            rounds.add(error, len(window) + self.config.weight_steps * self.config.batch_size)
            checkpoints.save(state)
        return deltas.table(state.version)

    def _craft_online(
        self, surrogate: Surrogate, windows: Windows, rounds: Rounds, checkpoints: Checkpoints
    ) -> dict[str, Tensor]:
        side = self.config.canvas
        state = CraftState(surrogate, [rounds])
        checkpoints.restore(state)
        for number, window in rounds.over(windows):
            wrong = torch.zeros((), dtype=torch.int64, device=self.compute.device)
            for step, batch in enumerate(window.batches(step_seed(self.config.seed, number))):
                seed = step_seed(self.config.seed, number, step)
                start = torch.zeros(len(batch.labels), 3, side, side, device=self.compute.device)
                delta, _ = surrogate.minimise(batch.images, start, batch.labels, seed)
                surrogate.decay((number - 1 + step / window.num_batches) / self.config.max_rounds)
                wrong += surrogate.weight_step(batch.images, delta, batch.labels, batch.global_count, seed)
            rounds.add(int(sum_over_workers(wrong)) / len(window), len(window))
            checkpoints.save(state)
        return surrogate.tensors()

    def _craft_alternating(
        self, surrogate: Surrogate, windows: Windows, rounds: Rounds, checkpoints: Checkpoints
    ) -> dict[str, Tensor]:
        table = SampleTable(self.config.budget, self.config.canvas)
        next_batch = NextBatch(self.config.seed)
        state = CraftState(surrogate, [rounds], batches=next_batch, table=table)
        checkpoints.restore(state)
        for number, window in rounds.over(windows):
            if not window.whole:
                raise UserError(
                    "schedule alternating keeps a delta for every image, and these do not fit in a worker's window: "
                    "use schedule online, or more workers"
                )
            for step in range(self.config.weight_steps):
                batch = next_batch(window)
                delta = table.get(batch.sample_ids).to(self.compute.device)
                seed = step_seed(self.config.seed, number, step)
                surrogate.weight_step(batch.images, delta, batch.labels, batch.global_count, seed)
            wrong = torch.zeros((), dtype=torch.int64, device=self.compute.device)
            for batch in window.batches(step_seed(self.config.seed, number)):
                start = table.get(batch.sample_ids).to(self.compute.device)
                delta, missed = surrogate.minimise(
                    batch.images, start, batch.labels, step_seed(self.config.seed, number)
                )
                table.put(batch.sample_ids, delta)
                wrong += missed
            rounds.add(int(sum_over_workers(wrong)) / len(window), len(window))
            checkpoints.save(state)
        return SampleTable.join(gather_objects(table.tensors()))

    def noise(self, artifact: NoiseArtifact) -> Noise:
        if artifact.deltas is not None:
            return ClassNoise(self.config, self.compute, artifact.deltas)
        if self.config.schedule == "alternating":
            return SampleNoise(self.config, self.compute, artifact.tensors)
        return SurrogateNoise(self.config, self.compute, artifact.tensors)
