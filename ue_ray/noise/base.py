"""What a method of making noise is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from torch import Tensor

from ue_ray.errors import parsed_options, with_options
from ue_ray.learning.collectives import rank
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import Granularity, NoiseConfig, NoOptions
from ue_ray.noise.crafted import DrawnNoise, Noise
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.checkpoint import Checkpoints, CraftState
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.rounds import Report, records


class NoiseMethod(ABC):
    """Crafts a noise from a collection, and opens what it crafted.

    ``craft`` is the same for every method; a method says how to ``start``, what its rounds do, and what is kept as its
    ``result``. One that needs no data is a ``DataFreeMethod``.
    """

    granularities: ClassVar[tuple[Granularity, ...]] = ("class-wise", "sample-wise")
    needs_data: ClassVar[bool] = True
    budget: ClassVar[Budget | None] = None
    """Its own, of a method that makes a change which is no delta on a canvas; None: the user's."""
    Options: ClassVar[type[Any]] = NoOptions
    """A dataclass of the method's own options (``errors.option``); each becomes a flag of the command line."""

    def __init__(self, config: NoiseConfig, compute: Compute) -> None:
        self.config = config
        self.compute = compute
        self.options: Any = with_options(self.Options, config.options)

    @classmethod
    def defaults(
        cls, granularity: Granularity, budget: Budget, given: Mapping[str, Any], images: int, gpu: bool
    ) -> dict[str, Any]:
        """Returns the options that hang on the granularity, the budget, other options that are ``given``, the number of
        images, or on there being a GPU."""
        return {}

    @classmethod
    def resolve(
        cls, granularity: Granularity, budget: Budget, given: Mapping[str, Any], images: int, gpu: bool
    ) -> dict[str, Any]:
        """Returns all options of a noise as plain data: those ``given``, and defaults for the others.

        Raises UserError for a value that makes no sense.
        """
        given = parsed_options(cls.Options, given)
        values = {**cls.defaults(granularity, budget, given, images, gpu), **given}
        return asdict(cls.Options(**values))

    @staticmethod
    def computes_deltas(config: NoiseConfig) -> bool:
        """Returns whether a network computes each image's delta, so that a GPU would help to apply the noise."""
        return False

    def craft(
        self,
        windows: Windows | None = None,
        deltas: ClassDeltas | None = None,
        report: Report = lambda entry: None,
        checkpoints: Checkpoints | None = None,
    ) -> NoiseArtifact | None:
        """Runs the method's rounds, from its last checkpoint if there is one.

        Every worker calls it alike; it returns the artifact on worker 0, None on the others. ``windows`` is the data,
        ``deltas`` the shared table that class-wise noise lives in: a method that needs no data needs neither.
        """
        checkpoints = checkpoints or Checkpoints()
        state = self.start(deltas, report)
        checkpoints.restore(state)
        for phase in state.phases:
            assert windows is not None
            for number, window in phase.over(windows):
                phase.add(*phase.run(number, window))
                checkpoints.save(state)
        kept = self.result(state)
        return NoiseArtifact(self.config, record=records(state.phases), **kept) if rank() == 0 else None

    def start(self, deltas: ClassDeltas | None, report: Report) -> CraftState:
        """Returns the state before the first round, with the phases that are to run."""
        return CraftState()

    def result(self, state: CraftState) -> dict[str, Any]:
        """Returns what the artifact keeps: ``tensors`` or ``deltas``. Every worker calls it."""
        return {}

    @abstractmethod
    def noise(self, artifact: NoiseArtifact) -> Noise:
        """Opens what ``craft`` returned, to perturb images."""


class DataFreeMethod(NoiseMethod):
    """A method whose deltas follow from the configuration alone: nothing is crafted, and nothing kept."""

    needs_data = False

    @abstractmethod
    def draw(self, class_name: str, sample_id: str | None) -> Tensor:
        """Returns the delta of a class, with ``sample_id`` that of its sample: float32 [3,s,s] in [0, 1] units, s the
        canvas' side. What is outside the budget is projected into it. ``sample_id`` is None where the noise is
        class-wise."""

    def noise(self, artifact: NoiseArtifact) -> Noise:
        return DrawnNoise(self.config, self.compute, self.draw)
