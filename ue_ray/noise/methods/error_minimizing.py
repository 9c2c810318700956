"""Error-minimizing noise: the min-min optimisation of Eq. 2, by Algorithm 1 (Huang et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from ue_ray.errors import UserError, flag
from ue_ray.learning.collectives import sum_over_workers
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import Granularity, NoiseConfig
from ue_ray.noise.crafted import ClassNoise, Noise, SampleNoise, SurrogateNoise
from ue_ray.noise.crafting.batches import Batch, Window, step_seed
from ue_ray.noise.crafting.checkpoint import CraftState
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.class_pass import delta_pass
from ue_ray.noise.crafting.next_batch import NextBatch
from ue_ray.noise.crafting.options import ErrorMinimizingOptions, algorithm_1_defaults
from ue_ray.noise.crafting.rounds import Report, Rounds
from ue_ray.noise.crafting.sample_deltas import SampleTable
from ue_ray.noise.crafting.surrogate import Surrogate


class ErrorMinimizing(NoiseMethod):
    """Class-wise, and sample-wise by one of two schedules.

    ``alternating`` is Algorithm 1 to the letter: M weight steps, then one pass that moves every delta. ``online`` keeps
    no table: each batch's deltas are computed from zero by T steps of PGD on the current surrogate, which then takes
    one weight step on that batch; an image's final delta is computed the same way on the final surrogate.
    """

    Options = ErrorMinimizingOptions
    Network: ClassVar[type[Surrogate]] = Surrogate

    @classmethod
    def defaults(
        cls, granularity: Granularity, budget: Budget, given: Mapping[str, Any], images: int, gpu: bool
    ) -> dict[str, Any]:
        """Appendix B's values, and for the online schedule its own.

        Online starts every delta from zero, so it takes few large steps (T = 5, alpha = epsilon / 4), and it looks
        through crops and flips: without them its noise did not outlive a victim's augmentation (docs/log.md).
        Algorithm 1 with the solver l-bfgs: T = 200, M = 100 (Appendix I).
        """
        for name in ("schedule", "solver"):
            if name in given and granularity == "class-wise":
                raise UserError(f"{flag(name)} {given[name]} is for error-minimizing noise, sample-wise")
        values = algorithm_1_defaults(granularity, budget.epsilon, given, images, gpu) | {"weight_steps": 10}
        if granularity == "sample-wise" and given.get("schedule", "online") == "online":
            return values | {
                "pgd_steps": 5,
                "step_size": budget.epsilon / 4,
                "weight_steps": 1,
                "max_rounds": 15,
                "batch_size": 64,
                "views": ("crop", "flip"),
            }
        if given.get("schedule") == "alternating" and given.get("data_fraction", 1.0) != 1:
            raise UserError("--schedule alternating keeps a delta for each image: it needs --data-fraction 1")
        return values | ({"pgd_steps": 200, "weight_steps": 100} if given.get("solver") == "l-bfgs" else {})

    @staticmethod
    def computes_deltas(config: NoiseConfig) -> bool:
        return config.granularity == "sample-wise" and config.options["schedule"] == "online"

    def start(self, deltas: ClassDeltas | None, report: Report) -> CraftState:
        state = CraftState(self.Network(self.config, self.options, self.compute))
        run: Callable[[CraftState, int, Window], Any] = self._online_round
        if self.config.granularity == "class-wise":
            state.deltas, state.batches, run = deltas, NextBatch(self.config.seed), self._class_round
        elif self.options.schedule == "alternating":
            state.table, state.batches = (
                SampleTable(self.config.budget, self.config.canvas),
                NextBatch(self.config.seed),
            )
            run = self._alternating_round
        options = self.options
        state.phases = [Rounds.until_below(options.stop_error, options.max_rounds, report, partial(run, state))]
        return state

    def _class_round(self, state: CraftState, number: int, window: Window) -> tuple[float, int, float]:
        assert state.batches is not None
        assert state.deltas is not None
        for step in range(self.options.weight_steps):
            batch = state.batches(window)
            classes, members, _ = batch.by_class()
            self._weight_step(state, batch, state.deltas.pull(classes, state.version)[members], number, step)
        error, used = delta_pass(state, window, step_seed(self.config.seed, number), state.network.minimise)
        return error, len(window) + self.options.weight_steps * self.options.batch_size, used

    def _online_round(self, state: CraftState, number: int, window: Window) -> tuple[float, int]:
        side = self.config.canvas
        wrong = torch.zeros((), dtype=torch.int64, device=self.compute.device)
        for step, batch in enumerate(window.batches(step_seed(self.config.seed, number))):
            zero = torch.zeros(len(batch.labels), 3, side, side, device=self.compute.device)
            seed = step_seed(self.config.seed, number, step)
            delta, _ = state.network.minimise(batch.images, zero, batch.labels, seed)
            state.network.decay((number - 1 + step / window.num_batches) / self.options.max_rounds)
            wrong += self._weight_step(state, batch, delta, number, step)
        return int(sum_over_workers(wrong)) / len(window), len(window)

    def _alternating_round(self, state: CraftState, number: int, window: Window) -> tuple[float, int]:
        assert state.batches is not None
        assert state.table is not None
        if not window.whole:
            raise UserError(
                "schedule alternating keeps a delta for every image, and these do not fit in a worker's window: "
                "use schedule online, or more workers"
            )
        table, device = state.table, self.compute.device
        table.hold(window.sample_ids)
        for step in range(self.options.weight_steps):
            batch = state.batches(window)
            self._weight_step(state, batch, table.get(batch.sample_ids, device), number, step)
        wrong = torch.zeros((), dtype=torch.int64, device=device)
        seed = step_seed(self.config.seed, number)
        for batch in window.batches(seed):
            before = table.get(batch.sample_ids, device)
            delta, missed = state.network.minimise(batch.images, before, batch.labels, seed)
            table.put(batch.sample_ids, delta)
            wrong += missed
        return int(sum_over_workers(wrong)) / len(window), len(window)

    def _weight_step(self, state: CraftState, batch: Batch, delta: Tensor, number: int, step: int) -> Tensor:
        seed = step_seed(self.config.seed, number, step)
        return state.network.weight_step(batch.images, delta, batch.labels, batch.global_count, seed)

    def result(self, state: CraftState) -> dict[str, Any]:
        if state.deltas is not None:
            return {"deltas": state.deltas.table(state.version)}
        if state.table is not None:
            return {"tensors": state.table.gathered(self.compute.device)}
        return {"tensors": state.network.tensors()}

    def noise(self, artifact: NoiseArtifact) -> Noise:
        if artifact.deltas is not None:
            return ClassNoise(self.config, self.compute, artifact.deltas)
        if self.options.schedule == "alternating":
            return SampleNoise(self.config, self.compute, artifact.tensors)
        surrogate = self.Network(self.config, self.options, self.compute)
        return SurrogateNoise(surrogate, artifact.tensors, surrogate.minimise)
