"""Makes images unlearnable: adds small, bounded noise, so that networks trained on them learn nothing of clean images.

An implementation of *Unlearnable Examples: Making Personal Data Unexploitable* (Huang et al., ICLR 2021) on Ray.
Importing this module costs neither torch nor Ray: each name is loaded when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ue_ray.distributed.evaluate import evaluate as evaluate
    from ue_ray.distributed.protect import protect as protect
    from ue_ray.distributed.reproduce import reproduce as reproduce
    from ue_ray.distributed.verify import verify as verify
    from ue_ray.errors import RunError as RunError
    from ue_ray.errors import UserError as UserError
    from ue_ray.evaluation.countermeasures import COUNTERMEASURES as COUNTERMEASURES
    from ue_ray.learning.models import MODELS as MODELS
    from ue_ray.noise.budget import Budget as Budget
    from ue_ray.noise.crafting.views import VIEWS as VIEWS
    from ue_ray.noise.in_memory import Protector as Protector
    from ue_ray.noise.in_memory import craft as craft
    from ue_ray.noise.in_memory import load_noise as load_noise
    from ue_ray.noise.methods import METHODS as METHODS
    from ue_ray.storage.outputs.formats import FORMATS as FORMATS

__version__ = "0.1.0"

_WHERE = {
    "protect": "distributed.protect",
    "evaluate": "distributed.evaluate",
    "reproduce": "distributed.reproduce",
    "verify": "distributed.verify",
    "craft": "noise.in_memory",
    "load_noise": "noise.in_memory",
    "Protector": "noise.in_memory",
    "load_protected": "evaluation.protected",
    "Budget": "noise.budget",
    "UserError": "errors",
    "RunError": "errors",
    "METHODS": "noise.methods",
    "COUNTERMEASURES": "evaluation.countermeasures",
    "MODELS": "learning.models",
    "VIEWS": "noise.crafting.views",
    "FORMATS": "storage.outputs.formats",
}
__all__ = [*_WHERE, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'ue_ray' has no attribute {name!r}")
    return getattr(import_module(f"ue_ray.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
