"""The methods of making noise: a file each, and a dict of them."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ue_ray.errors import UserError, choose, flag, option_names, with_options
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import NoiseConfig, NoiseOptions, NoOptions
from ue_ray.noise.crafting.options import CraftOptions, ErrorMinimizingOptions, GratingsOptions

if TYPE_CHECKING:
    from ue_ray.learning.compute import Compute
    from ue_ray.noise.artifact import NoiseArtifact
    from ue_ray.noise.base import NoiseMethod
    from ue_ray.noise.crafted import Noise


@dataclass(frozen=True)
class InFile:
    """A method of this folder, as ``file.Class``, and its own options, which are known before the file is loaded."""

    place: str
    Options: type = NoOptions

    def load(self) -> type[NoiseMethod]:
        file, _, name = self.place.partition(".")
        method: type[NoiseMethod] = getattr(import_module(f"{__name__}.{file}"), name)
        return method


class Methods(UserDict[str, Any]):
    """Classes of methods by name. One that is ``InFile`` is loaded, and torch with it, when it is first asked for."""

    def __getitem__(self, name: str) -> type[NoiseMethod]:
        if isinstance(method := self.data[name], InFile):
            method = self.data[name] = method.load()
        return method

    def options(self) -> dict[str, type]:
        """Returns each method's own options, a dataclass, by the method's name. Loads no method."""
        return {name: method.Options for name, method in self.data.items()}


METHODS = Methods(
    {
        "gratings": InFile("gratings.Gratings", GratingsOptions),
        "error-minimizing": InFile("error_minimizing.ErrorMinimizing", ErrorMinimizingOptions),
        "error-maximizing": InFile("error_maximizing.ErrorMaximizing", CraftOptions),
        "random": InFile("random.Random"),
    }
)


MOST_CODES = 54  # of gratings
FEWEST_A_CLASS = 100  # images; a grating of fewer is hardly ever seen by the time content is learnt
LARGEST_SIDE = 64  # pixels; larger images are resized for networks, and lose what lives at the pixel frequency


def noise_config(
    given: Mapping[str, Any], class_names: Sequence[str], images: int, side: int, gpu: bool = False
) -> NoiseConfig:
    """Resolves the options ``given``, those of ``NoiseOptions`` and the method's own, for a collection.

    ``images`` is how many it has, ``side`` at which a surrogate sees them. Raises UserError for an option that the
    method does not have, and for a value that makes no sense.
    """
    names = option_names(NoiseOptions)
    noise = with_options(NoiseOptions, {name: value for name, value in given.items() if name in names})
    own = {name: value for name, value in given.items() if name not in names}
    name = noise.method or default_method(noise, own, len(class_names), images, side)
    method = METHODS[choose(name, METHODS, "method")]
    choose(noise.granularity, method.granularities, "granularity", f" for method {name}")
    budget = Budget(noise.epsilon, noise.norm)
    has = option_names(method.Options)
    if unknown := [option for option in own if option not in has]:
        choices = ", ".join(map(flag, has)) or "none of its own"
        raise UserError(f"{flag(unknown[0])} is no option of method {name}; it has {choices}")
    seen = side if noise.image_size is None else noise.image_size
    return NoiseConfig(
        method=name,
        granularity=noise.granularity,
        budget=budget,
        class_names=tuple(class_names),
        image_size=seen,
        canvas=noise.canvas if noise.canvas is not None else noise.patch or seen,
        patch=noise.patch,
        seed=noise.seed,
        options=method.resolve(noise.granularity, budget, own, images, gpu),
    )


def default_method(noise: NoiseOptions, own: Mapping[str, Any], classes: int, images: int, side: int) -> str:
    """Returns the method that protects such a collection best, by what was measured (docs/log.md).

    Gratings hold whatever the content, but a network must see each of them often, and at its own size. ``own``: the
    methods' own options that are given; one that gratings do not have asks for crafting.
    """
    often = 2 <= classes <= MOST_CODES and images >= FEWEST_A_CLASS * classes
    own_size = side <= LARGEST_SIDE and noise.canvas is None and noise.patch is None
    if not set(own) <= set(option_names(GratingsOptions)):
        return "error-minimizing"
    return "gratings" if own or (often and own_size) else "error-minimizing"


def new_method(config: NoiseConfig, compute: Compute) -> NoiseMethod:
    """Returns the method of ``config``, ready to craft. Raises UserError where there is no such method."""
    return METHODS[choose(config.method, METHODS, "method")](config, compute)


def open_noise(artifact: NoiseArtifact, compute: Compute) -> Noise:
    """Returns what is in ``artifact``, ready to perturb."""
    return new_method(artifact.config, compute).noise(artifact)
