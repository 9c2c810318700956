"""Does the noise protect if only some classes carry it?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, FORMS, Arm, BothForms, Claim, Mix, Result, Scale, unlearnt

ONE = (2,)  # 'bird' of CIFAR-10
SEVERAL = (2, 4, 6, 8)


class Classes(BothForms):
    figure = "Figure 2 (c-d), Figure 5"

    def arms(self, scale: Scale) -> list[Arm]:
        return [
            Arm(CLEAN, Mix()),
            *(
                Arm(f"{form}, {len(classes)} protected", self.mixes(classes=classes)[form])
                for form in FORMS
                for classes in (ONE, SEVERAL)
            ),
        ]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        return [
            unlearnt(results, f"{form}, {len(classes)} protected", CLEAN, classes)
            for form in FORMS
            for classes in (ONE, SEVERAL)
        ]
