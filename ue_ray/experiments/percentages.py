"""What if only a part of the images is protected?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import (
    CLEAN,
    FORMS,
    Arm,
    Claim,
    Experiment,
    Mix,
    Recipe,
    Result,
    Scale,
    close,
    lower,
    noise,
)

PERCENTAGES = (20, 40, 60, 80)
TABLE_2 = {
    "sample-wise": {20: 94.38, 40: 93.10, 60: 91.90, 80: 86.85, 100: 19.93},
    "class-wise": {20: 94.24, 40: 92.99, 60: 91.10, 80: 87.23, 100: 16.42},
}
CLEAN_PART = {20: 93.75, 40: 92.56, 60: 89.77, 80: 84.30}

PAPER = {
    CLEAN: 94.95,
    **{f"{form} {share} %": value for form, row in TABLE_2.items() for share, value in row.items()},
    **{f"clean part of {share} %": value for share, value in CLEAN_PART.items()},
}


class Percentages(Experiment):
    figure = "Table 2, Figure 2 (a-b)"
    paper = PAPER

    def recipes(self, scale: Scale) -> list[Recipe]:
        return [noise("error-minimizing", form) for form in FORMS]

    def arms(self, scale: Scale) -> list[Arm]:
        arms = [Arm(CLEAN, Mix())]
        for share in PERCENTAGES:  # the clean part is the same for both forms: the same images are drawn
            one = (self.recipes(scale)[0].name,)
            arms.append(Arm(f"clean part of {share} %", Mix(one, fraction=share / 100, part="clean")))
        for form, recipe in zip(FORMS, self.recipes(scale), strict=True):
            arms += [
                Arm(f"{form} {share} %", Mix((recipe.name,), fraction=share / 100)) for share in (*PERCENTAGES, 100)
            ]
            arms.append(Arm(f"{form}, protected part of 80 %", Mix((recipe.name,), fraction=0.8, part="protected")))
        return arms

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        claims = []
        for form in FORMS:
            claims += [lower(results, f"{form} 100 %", f"{form} 80 %", by=0.1)]
            claims += [close(results, f"{form} {share} %", f"clean part of {share} %", 0.1) for share in PERCENTAGES]
            claims += [lower(results, f"{form}, protected part of 80 %", "clean part of 80 %", by=0.1)]
        return claims
