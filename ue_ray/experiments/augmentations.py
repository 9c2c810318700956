"""Does a taker's augmentation undo the noise?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, Arm, BothForms, Claim, Mix, Result, Scale, lower

AUGMENTATIONS = ("cutout", "mixup", "cutmix", "fast-autoaugment", "autoaugment", "randaugment")
TABLE_3 = {"sample-wise": (19.30, 58.51, 22.40, 42.70), "class-wise": (14.62, 17.63, 16.19, 22.89)}

PAPER = {
    f"{form}, {name}": value for form, row in TABLE_3.items() for name, value in zip(AUGMENTATIONS, row, strict=False)
}


class Augmentations(BothForms):
    figure = "Table 3"
    paper = PAPER

    def arms(self, scale: Scale) -> list[Arm]:
        sets = {CLEAN: Mix(), **self.mixes()}
        return [
            Arm(f"{name}, {augmentation}", mix, augmentation)
            for name, mix in sets.items()
            for augmentation in AUGMENTATIONS
        ]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        return [
            lower(results, f"class-wise, {augmentation}", f"clean, {augmentation}", by=0.1)
            for augmentation in AUGMENTATIONS
        ] + [lower(results, f"sample-wise, {augmentation}", f"clean, {augmentation}") for augmentation in AUGMENTATIONS]
