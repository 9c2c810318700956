"""The methods of making noise: a file each, and a dict of them."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from ue_ray.errors import UserError, choose, flag, option_names, with_options
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import NoiseConfig, NoiseOptions, NoOptions, owner_seed
from ue_ray.noise.crafting.options import (
    CraftOptions,
    CUDAOptions,
    ErrorMinimizingOptions,
    GratingsOptions,
    OPSOptions,
    SEMOptions,
)

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
        "lsp": InFile("lsp.LSP"),
        "autoregressive": InFile("autoregressive.Autoregressive"),
        "tap": InFile("tap.TAP", CraftOptions),
        "pil": InFile("pil.PIL", CraftOptions),
        "sem": InFile("sem.SEM", SEMOptions),
        "ops": InFile("ops.OPS", OPSOptions),
        "cuda": InFile("cuda.CUDA", CUDAOptions),
        "random": InFile("random.Random"),
    }
)


MOST_CODES = 54  # of fine gratings
FEWEST_A_CLASS = 100  # images; a fine grating of fewer is hardly ever seen by the time content is learnt
LARGEST_SIDE = 64  # pixels; larger images are resized for networks, and lose what lives at the pixel frequency
PHOTO_CANVAS = 224  # pixels a side, of coarse gratings on larger images than LARGEST_SIDE
ADDED = ("epsilon", "norm", "canvas", "patch")  # options of noise that is a delta, added to an image
COARSE = 8  # cells a side of gratings that survive resizing, and that few images are enough for


def noise_config(
    given: Mapping[str, Any], class_names: Sequence[str], images: int, side: int, gpu: bool = False
) -> NoiseConfig:
    """Resolves the options ``given``, those of ``NoiseOptions`` and the method's own, for a collection.

    ``images`` is how many it has, ``side`` at which a surrogate sees them. Raises UserError for an option that the
    method does not have, and for a value that makes no sense.
    """
    if {"owner", "seed"} <= given.keys():
        raise UserError("--owner and --seed both say by what the noise is drawn: give one")
    names = option_names(NoiseOptions)
    noise = with_options(NoiseOptions, {name: value for name, value in given.items() if name in names})
    own = {name: value for name, value in given.items() if name not in names}
    grain = _grain(noise, len(class_names), images, side)
    name = noise.method or default_method(noise, own, grain)
    if name == "gratings" and grain == "coarse":
        own.setdefault("cells", COARSE)
    method = METHODS[choose(name, METHODS, "method")]
    if method.needs_data and len(class_names) < 2:
        raise UserError(f"method {name} tells classes apart, and there is one: use gratings, which need no other class")
    choose(noise.granularity, method.granularities, "granularity", f" for method {name}")
    if method.budget and (refused := [option for option in ADDED if given.get(option) is not None]):
        raise UserError(f"{flag(refused[0])} does not go with method {name}, whose budget is its own: {method.budget}")
    budget = method.budget or Budget(noise.epsilon, noise.norm)
    has = option_names(method.Options)
    if unknown := [option for option in own if option not in has]:
        choices = ", ".join(map(flag, has)) or "none of its own"
        raise UserError(f"{flag(unknown[0])} is no option of method {name}; it has {choices}")
    seen = side if noise.image_size is None else noise.image_size
    # Photos of one owner vary in size from time to time, and are to carry the same noise.
    own_canvas = PHOTO_CANVAS if name == "gratings" and grain == "coarse" and seen > LARGEST_SIDE else seen
    return NoiseConfig(
        method=name,
        granularity=noise.granularity,
        budget=budget,
        class_names=tuple(class_names),
        image_size=seen,
        canvas=noise.canvas if noise.canvas is not None else noise.patch or own_canvas,
        patch=noise.patch,
        seed=noise.seed if noise.owner is None else owner_seed(noise.owner),
        options=method.resolve(noise.granularity, budget, own, images, gpu),
    )


def epsilon_for(method: str, epsilon: str | float) -> dict[str, Any]:
    """Returns ``epsilon`` as an option of the method; no option where the method has a budget of its own."""
    return {} if method in METHODS and METHODS[method].budget else {"epsilon": epsilon}


Grain = Literal["fine", "coarse", "none"]


def _grain(noise: NoiseOptions, classes: int, images: int, side: int) -> Grain:
    """Returns which gratings protect such a collection, by what was measured (docs/log.md).

    Fine ones, at the pixel frequency, hold best, but a network must see each of them often, and at its own size. Coarse
    ones outlive resizing and need few images. For more classes of many small images neither was measured.
    """
    small = side <= LARGEST_SIDE and noise.canvas is None and noise.patch is None
    if not small or images < FEWEST_A_CLASS * classes or classes < 2:
        return "coarse"
    return "fine" if classes <= MOST_CODES else "none"


def default_method(noise: NoiseOptions, own: Mapping[str, Any], grain: Grain) -> str:
    """Returns gratings, where there are some for such a collection and no option asks for crafting.

    ``own``: the methods' own options that are given. A canvas or a patch is for crafted noise.
    """
    if not set(own) <= set(option_names(GratingsOptions)) or noise.canvas or noise.patch:
        return "error-minimizing"
    return "gratings" if own or grain != "none" else "error-minimizing"


def new_method(config: NoiseConfig, compute: Compute) -> NoiseMethod:
    """Returns the method of ``config``, ready to craft. Raises UserError where there is no such method."""
    return METHODS[choose(config.method, METHODS, "method")](config, compute)


def open_noise(artifact: NoiseArtifact, compute: Compute) -> Noise:
    """Returns what is in ``artifact``, ready to perturb."""
    return new_method(artifact.config, compute).noise(artifact)
