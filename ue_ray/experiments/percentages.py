"""Does the noise protect if only a part of the images carries it?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import (
    CLEAN,
    FORMS,
    Arm,
    BothForms,
    Claim,
    Mix,
    Result,
    Scale,
    close,
    lower,
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


class Percentages(BothForms):
    figure = "Table 2, Figure 2 (a-b)"
    paper = PAPER

    def arms(self, scale: Scale) -> list[Arm]:
        arms = [Arm(CLEAN, Mix())]
        for share in PERCENTAGES:  # the clean part is the same for both forms: the same images are drawn
            mix = self.mixes(fraction=share / 100, part="clean")[FORMS[0]]
            arms.append(Arm(f"clean part of {share} %", mix))
        for form in FORMS:
            shares = (*PERCENTAGES, 100)
            arms += [Arm(f"{form} {share} %", self.mixes(fraction=share / 100)[form]) for share in shares]
            arms.append(Arm(f"{form}, protected part of 80 %", self.mixes(fraction=0.8, part="protected")[form]))
        return arms

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        claims = []
        for form in FORMS:
            claims += [lower(results, f"{form} 100 %", f"{form} 80 %", by=0.1)]
            claims += [close(results, f"{form} {share} %", f"clean part of {share} %", 0.1) for share in PERCENTAGES]
            claims += [lower(results, f"{form}, protected part of 80 %", "clean part of 80 %", by=0.1)]
        return claims
