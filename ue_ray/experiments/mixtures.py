"""Does a mixture of noises protect less: one of two noises on each image, or random noise on top?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, Arm, Claim, Experiment, Mix, Recipe, Result, Scale, lower, noise

ONE_OF_TWO, PLUS_RANDOM = "one of two class-wise noises", "class-wise plus random"
AUGMENTED = "fast-autoaugment"

PAPER = {
    CLEAN: 94.95,
    ONE_OF_TWO: 25.41,
    PLUS_RANDOM: 14.94,
    f"{ONE_OF_TWO}, {AUGMENTED}": 56.20,
    f"{PLUS_RANDOM}, {AUGMENTED}": 30.40,
}


class Mixtures(Experiment):
    figure = "Table 5, the mixtures"
    paper = PAPER

    def recipes(self) -> list[Recipe]:
        return [
            noise("error-minimizing", "class-wise"),
            noise("error-minimizing", "class-wise", seed=1),
            noise("random", "sample-wise"),
        ]

    def arms(self, scale: Scale) -> list[Arm]:
        one, two, random = (recipe.name for recipe in self.recipes())
        mixes = {ONE_OF_TWO: Mix((one, two)), PLUS_RANDOM: Mix((one,), added=random)}
        return [
            Arm(CLEAN, Mix()),
            *(Arm(label, mix) for label, mix in mixes.items()),
            *(Arm(f"{label}, {AUGMENTED}", mix, AUGMENTED) for label, mix in mixes.items()),
        ]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        return [
            lower(results, ONE_OF_TWO, CLEAN, by=0.2),
            lower(results, PLUS_RANDOM, CLEAN, by=0.2),
            lower(results, f"{PLUS_RANDOM}, {AUGMENTED}", f"{ONE_OF_TWO}, {AUGMENTED}"),
        ]
