"""Does it protect people from being recognised, or verified, by a network trained on their photos?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, Arm, Claim, Experiment, Mix, Recipe, Result, Scale, noise, unlearnt

PEOPLE = tuple(range(0, 60, 3))  # 20 of lfw20's 62
PARTLY, FULLY = "some people protected", "everybody protected"


class Faces(Experiment):
    """Recognition and verification by an Inception-ResNet, trained as a classifier. Recorded of each victim: the
    accuracy of protected and of other people (the confusion matrix), and the verification of pairs of both."""

    figure = "Figures 4 and 7"

    def recipes(self) -> list[Recipe]:
        # People have few photos: it is crafted on all of them, in fewer rounds, each of which is longer for that.
        return [noise("error-minimizing", "class-wise", data_fraction=1.0, max_rounds=30)]

    def arms(self, scale: Scale) -> list[Arm]:
        (recipe,) = self.recipes()
        sets = {CLEAN: Mix(), PARTLY: Mix((recipe.name,), classes=PEOPLE), FULLY: Mix((recipe.name,))}
        return [Arm(label, mix, victim=scale.face_victim, verified=PEOPLE) for label, mix in sets.items()]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        clean, fully = (results[label].auc.get("everybody", 0.0) for label in (CLEAN, FULLY))
        return [
            unlearnt(results, PARTLY, CLEAN, PEOPLE, by=0.4),
            Claim(
                f"verification: where everybody is protected the AUC of all pairs is {fully:.3f} (clean {clean:.3f})",
                clean - fully >= 0.1,
            ),
        ]
