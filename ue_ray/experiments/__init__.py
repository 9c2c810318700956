"""The experiments of the paper and the board: a file for each, and a plain dict of them."""

from __future__ import annotations

from ue_ray.errors import choose
from ue_ray.experiments.adversarial_training import AdversarialTraining
from ue_ray.experiments.augmentations import Augmentations
from ue_ray.experiments.backdoor import Backdoor
from ue_ray.experiments.base import SCALES, Arm, Claim, Experiment, Mix, Recipe, Result, Scale
from ue_ray.experiments.board import Board
from ue_ray.experiments.classes import Classes
from ue_ray.experiments.early_stopping import EarlyStopping
from ue_ray.experiments.faces import Faces
from ue_ray.experiments.mixtures import Mixtures
from ue_ray.experiments.networks import Networks
from ue_ray.experiments.noise_types import NoiseTypes
from ue_ray.experiments.patches import Patches
from ue_ray.experiments.percentages import Percentages
from ue_ray.experiments.transfer import Transfer

__all__ = [
    "EXPERIMENTS", "SCALES", "Arm", "Claim", "Experiment", "Mix", "Recipe", "Result", "Scale", "find_experiment",
]  # fmt: skip

EXPERIMENTS: dict[str, Experiment] = {
    "noise-types": NoiseTypes(),
    "datasets": Networks(),
    "percentages": Percentages(),
    "classes": Classes(),
    "augmentations": Augmentations(),
    "adversarial-training": AdversarialTraining(),
    "transfer": Transfer(),
    "patches": Patches(),
    "mixtures": Mixtures(),
    "faces": Faces(),
    "backdoor": Backdoor(),
    "early-stopping": EarlyStopping(),
    "board": Board(),
}


def find_experiment(name: str) -> Experiment:
    """Returns the experiment of that name. Raises UserError, listing the choices, if there is none."""
    return EXPERIMENTS[choose(name, EXPERIMENTS, "experiment")]
