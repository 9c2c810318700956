"""Does a noise on a part of the image suffice?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, Arm, Claim, Experiment, Mix, Recipe, Result, Scale, lower, noise

SIDES = (8, 16, 24)  # of 32 pixels
WHOLE = "whole image"
COUNTERMEASURES = {"none": (87.23, 19.19, 26.42, 16.42), "fast-autoaugment": (90.66, 36.69, 50.60, 22.89)}
NAMES = (*(f"{side} x {side}" for side in SIDES), WHOLE)

PAPER = {
    f"{name}, {tried}": value for tried, row in COUNTERMEASURES.items() for name, value in zip(NAMES, row, strict=True)
}


class Patches(Experiment):
    figure = "Table 5, the patches"
    paper = PAPER

    def recipes(self) -> list[Recipe]:
        parts = [noise("error-minimizing", "class-wise", patch=side) for side in SIDES]
        return [*parts, noise("error-minimizing", "class-wise")]

    def arms(self, scale: Scale) -> list[Arm]:
        sets = {name: Mix((recipe.name,)) for name, recipe in zip(NAMES, self.recipes(), strict=True)}
        return [
            Arm(f"{name}, {tried}", mix, tried)
            for name, mix in {CLEAN: Mix(), **sets}.items()
            for tried in COUNTERMEASURES
        ]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        return [
            lower(results, f"{WHOLE}, none", "8 x 8, none", by=0.2),
            lower(results, "16 x 16, none", "8 x 8, none", by=0.1),
            lower(results, "16 x 16, none", f"{CLEAN}, none", by=0.2),
        ]
