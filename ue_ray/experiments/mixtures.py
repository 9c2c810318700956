"""Does it help a taker that noises are mixed? One of two an image, or random noise on top."""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, Arm, Claim, Experiment, Mix, Recipe, Result, Scale, lower, noise

PAPER = {
    CLEAN: 94.95,
    "one of two class-wise noises": 25.41,
    "class-wise plus random": 14.94,
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
        return [
            Arm(CLEAN, Mix()),
            Arm("one of two class-wise noises", Mix((one, two))),
            Arm("class-wise plus random", Mix((one,), added=random)),
        ]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        return [
            lower(results, "one of two class-wise noises", CLEAN, by=0.2),
            lower(results, "class-wise plus random", CLEAN, by=0.2),
        ]
