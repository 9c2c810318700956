"""Does the noise protect people from a network that is trained on their photos to recognise them?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, Arm, Claim, Experiment, Mix, Recipe, Result, Scale, judge, noise, unlearnt

PEOPLE = tuple(range(0, 60, 3))  # 20 of lfw20's 62
PARTLY, FULLY = "some people protected", "everybody protected"


class Faces(Experiment):
    """An Inception-ResNet is trained as a classifier of people. Recorded of each victim: the accuracy on protected and
    on other people (by the confusion matrix), and how well it judges whether two photos show one person."""

    figure = "Figures 4 and 7"

    def recipes(self) -> list[Recipe]:
        # People have few photos, so the noise is crafted on all of them, in fewer rounds, which are longer.
        return [noise("error-minimizing", "class-wise", data_fraction=1.0, max_rounds=30)]

    def arms(self, scale: Scale) -> list[Arm]:
        (recipe,) = self.recipes()
        sets = {CLEAN: Mix(), PARTLY: Mix((recipe.name,), classes=PEOPLE), FULLY: Mix((recipe.name,))}
        return [Arm(label, mix, victim=scale.face_victim, pair_classes=PEOPLE) for label, mix in sets.items()]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        def auc(result: Result) -> float:
            return result.auc.get("everybody", 0.0)

        clean, fully = auc(results[CLEAN]), auc(results[FULLY])
        return [
            unlearnt(results, PARTLY, CLEAN, PEOPLE, by=0.4),
            Claim(
                f"verification: where everybody is protected the AUC of all pairs is {fully:.3f} (clean {clean:.3f})",
                judge(clean - fully - 0.1, *(results[label].each(auc) for label in (CLEAN, FULLY))),
            ),
        ]
