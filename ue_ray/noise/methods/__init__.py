"""Making noise: one file a method, and a plain dict of them."""

from __future__ import annotations

from ue_ray.errors import UserError
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.crafted import Noise
from ue_ray.noise.methods.error_maximizing import ErrorMaximizing
from ue_ray.noise.methods.error_minimizing import ErrorMinimizing
from ue_ray.noise.methods.random import Random

__all__ = [
    "METHODS",
    "Noise",
    "NoiseArtifact",
    "NoiseConfig",
    "NoiseMethod",
    "check_method",
    "new_method",
    "open_noise",
]

METHODS: dict[str, type[NoiseMethod]] = {
    "error-minimizing": ErrorMinimizing,
    "error-maximizing": ErrorMaximizing,
    "random": Random,
}


def check_method(name: str, granularity: str) -> None:
    """Raises UserError, listing the choices, when there is no such method or it has no such granularity."""
    if name not in METHODS:
        raise UserError(f"unknown method {name!r}: choose one of {', '.join(METHODS)}")
    if granularity not in METHODS[name].granularities:
        choices = ", ".join(METHODS[name].granularities)
        raise UserError(f"unknown granularity {granularity!r} for method {name}: choose one of {choices}")


def new_method(config: NoiseConfig, compute: Compute) -> NoiseMethod:
    """The method of ``config``, ready to craft."""
    check_method(config.method, config.granularity)
    return METHODS[config.method](config, compute)


def open_noise(artifact: NoiseArtifact, compute: Compute) -> Noise:
    """What is in ``artifact``, ready to perturb."""
    return new_method(artifact.config, compute).noise(artifact)
