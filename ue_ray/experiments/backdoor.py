"""Is a class-wise noise a backdoor: are clean images that carry it taken for its class?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import METHODS, Arm, Claim, Experiment, Mix, Recipe, Result, Scale, lower, noise

PERCENTAGES = (0, 20, 40, 60, 80, 100)


class Backdoor(Experiment):
    figure = "Figure 8"
    accuracies = "Success rate, the share of test images that are taken for the class whose noise they carry,"

    def recipes(self) -> list[Recipe]:
        return [noise(method, "class-wise") for method in METHODS]

    def arms(self, scale: Scale) -> list[Arm]:
        return [
            Arm(
                f"{method} {share} %",
                Mix((recipe.name,), fraction=share / 100) if share else Mix(),
                trigger=recipe.name,
            )
            for method, recipe in zip(METHODS, self.recipes(), strict=True)
            for share in PERCENTAGES
        ]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        return [
            lower(results, "error-minimizing 20 %", "error-maximizing 20 %"),
            lower(results, "random 20 %", "error-maximizing 20 %"),
            lower(results, "error-minimizing 20 %", "error-minimizing 100 %"),
        ]
