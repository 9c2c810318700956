"""What every method of making noise is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.config import Granularity, NoiseConfig
from ue_ray.noise.crafted import Noise
from ue_ray.noise.crafting.batches import Windows
from ue_ray.noise.crafting.checkpoint import Checkpoints
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.rounds import Report


class NoiseMethod(ABC):
    """Crafts a noise from a collection, and knows how to use what it crafted."""

    granularities: ClassVar[tuple[Granularity, ...]] = ("class-wise", "sample-wise")

    @staticmethod
    def uses_network(config: NoiseConfig) -> bool:
        """Whether an image's delta is computed from it by the surrogate, and not looked up or drawn."""
        return config.granularity == "sample-wise"

    def __init__(self, config: NoiseConfig, compute: Compute) -> None:
        self.config = config
        self.compute = compute

    @abstractmethod
    def craft(
        self, windows: Windows, deltas: ClassDeltas, report: Report, checkpoints: Checkpoints
    ) -> NoiseArtifact | None:
        """Run the method's optimisation, from its last checkpoint if there is one.

        Every worker calls it alike; it returns the artifact on worker 0, None on the others. ``deltas`` is the shared
        table that class-wise noise lives in.
        """

    @abstractmethod
    def noise(self, artifact: NoiseArtifact) -> Noise:
        """What ``craft`` returned, ready to perturb images."""
