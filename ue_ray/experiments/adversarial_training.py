"""Does adversarial training undo the noise?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, Arm, Claim, Experiment, Mix, Recipe, Result, Scale, lower, noise

LEVELS = (8, 16, 24)
TRAINED = "adversarial-training-8"

PAPER = {f"{TRAINED} on 8/255": 85.0, f"{TRAINED} on 24/255": 79.0}


class AdversarialTraining(Experiment):
    figure = "Figure 6"
    paper = PAPER

    def recipes(self) -> list[Recipe]:
        return [noise("error-minimizing", "class-wise", epsilon=f"{level}/255") for level in LEVELS]

    def arms(self, scale: Scale) -> list[Arm]:
        recipes = self.recipes()
        return [
            Arm(f"{TRAINED} on {CLEAN}", Mix(), TRAINED),
            Arm("plain on 8/255", Mix((recipes[0].name,))),
            *(
                Arm(f"{TRAINED} on {level}/255", Mix((recipe.name,)), TRAINED)
                for level, recipe in zip(LEVELS, recipes, strict=True)
            ),
        ]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        return [
            lower(results, "plain on 8/255", f"{TRAINED} on 8/255"),
            lower(results, f"{TRAINED} on 24/255", f"{TRAINED} on 8/255"),
        ]
