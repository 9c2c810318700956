"""Do networks other than the surrogate learn as little?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, FORMS, Arm, BothForms, Claim, Mix, Result, Scale, lower

TABLE_1 = {  # CIFAR-10
    "sample-wise": {"vgg11": 29.00, "resnet18": 19.93, "resnet50": 18.89, "densenet121": 20.25},
    "class-wise": {"vgg11": 16.93, "resnet18": 16.42, "resnet50": 13.45, "densenet121": 14.71},
    CLEAN: {"vgg11": 91.57, "resnet18": 94.95, "resnet50": 94.37, "densenet121": 95.12},
}

POSITIVE = "class-wise, its positive half only"  # as the authors' loader applied it

PAPER = {f"{name}, {victim}": value for name, row in TABLE_1.items() for victim, value in row.items()}


class Networks(BothForms):
    figure = "Table 1"
    paper = PAPER

    def arms(self, scale: Scale) -> list[Arm]:
        sets = {CLEAN: Mix(), **self.mixes()}
        arms = [Arm(f"{name}, {victim}", mix, victim=victim) for victim in scale.victims for name, mix in sets.items()]
        half = self.mixes(positive=True)[FORMS[0]]
        return [*arms, Arm(f"{POSITIVE}, {scale.victim}", half, victim=scale.victim)]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        victims = [label.removeprefix(f"{CLEAN}, ") for label in results if label.startswith(CLEAN)]
        return [
            lower(results, f"{form}, {victim}", f"{CLEAN}, {victim}", by=0.2) for victim in victims for form in FORMS
        ]
