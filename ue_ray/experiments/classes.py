"""What if only some classes are protected?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, FORMS, Arm, BothForms, Claim, Mix, Result, Scale, percent

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
        clean = results[CLEAN].recall
        claims = []
        for form in FORMS:
            for classes in (ONE, SEVERAL):
                label = f"{form}, {len(classes)} protected"
                recall = results[label].recall
                others = [k for k in range(len(clean)) if k not in classes]
                means = [
                    sum(found[k] for k in chosen) / len(chosen)
                    for chosen in (classes, others)
                    for found in (recall, clean)
                ]
                claims.append(
                    Claim(
                        f"{label}: of the protected classes {percent(means[0])} is recognised (clean "
                        f"{percent(means[1])}), of the others {percent(means[2])} (clean {percent(means[3])})",
                        means[1] - means[0] >= 0.3 and means[2] >= means[3] - 0.1,
                    )
                )
        return claims
