"""Can a noise be crafted on other images than those it protects?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ue_ray.experiments.base import CLEAN, Arm, Claim, Experiment, Mix, Recipe, Result, Scale, lower, noise, unlearnt

FOUR = (0, 1, 8, 9)  # airplane, automobile, ship, truck of CIFAR-10
SHIP = (8,)
WHOLE, PART = "class-wise of the other data", "class-wise of the other data, 4 protected"
GUEST = "of the other data and {} images of one class"


class Transfer(Experiment):
    """Two transfers. A class-wise noise is crafted on the other data set (the paper: ImageNet, for CIFAR-10, Table 4).
    One class, protected by a sample-wise noise, is added to the other data set (the paper: ships of CIFAR-10, to
    CIFAR-100)."""

    figure = "Figure 3, Table 4"

    def recipes(self) -> list[Recipe]:
        class_wise = noise("error-minimizing", "class-wise")
        return [
            replace(class_wise, name=f"{class_wise.name}-of-other", other=True),
            noise("error-minimizing", "sample-wise"),
        ]

    def arms(self, scale: Scale) -> list[Arm]:
        foreign, own = (recipe.name for recipe in self.recipes())
        return [
            *(Arm(f"{CLEAN}, {victim}", Mix(), victim=victim) for victim in scale.victims),
            *(Arm(f"{WHOLE}, {victim}", Mix((foreign,)), victim=victim) for victim in scale.victims),
            Arm(PART, Mix((foreign,), classes=FOUR)),
            Arm(GUEST.format(CLEAN), Mix(classes=SHIP, part="protected", joined=True)),
            Arm(GUEST.format("sample-wise protected"), Mix((own,), classes=SHIP, part="protected", joined=True)),
        ]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        victims = [label.removeprefix(f"{CLEAN}, ") for label in results if label.startswith(CLEAN)]
        protected, clean = (GUEST.format(name) for name in ("sample-wise protected", CLEAN))
        last = len(results[protected].recall) - 1  # the class that was added
        return [
            *(lower(results, f"{WHOLE}, {victim}", f"{CLEAN}, {victim}", by=0.2) for victim in victims),
            unlearnt(results, PART, f"{CLEAN}, {victims[0]}", FOUR),
            unlearnt(results, protected, clean, (last,)),
        ]
