"""Which noise makes images unlearnable?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import (
    CLEAN,
    FORMS,
    METHODS,
    Arm,
    Claim,
    Experiment,
    Mix,
    Recipe,
    Result,
    Scale,
    judge,
    lower,
    noise,
    percent,
)

PAPER = {
    CLEAN: 94.95,
    "error-minimizing-class-wise": 16.42,
    "error-minimizing-sample-wise": 19.93,
}
PENALISED = noise("error-minimizing", "sample-wise", solver="l-bfgs")


class NoiseTypes(Experiment):
    figure = "Figures 1 and 9"
    paper = PAPER

    def recipes(self) -> list[Recipe]:
        return [*(noise(method, form) for method in METHODS for form in FORMS), PENALISED]

    def arms(self, scale: Scale) -> list[Arm]:
        return [Arm(CLEAN, Mix()), *(Arm(recipe.name, Mix((recipe.name,))) for recipe in self.recipes())]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        peaks = {method: results[f"{method}-class-wise"].peak for method in METHODS}
        return [
            lower(results, "error-minimizing-sample-wise", "random-sample-wise", by=0.2),
            lower(results, "error-minimizing-sample-wise", "error-maximizing-sample-wise"),
            lower(results, PENALISED.name, "random-sample-wise", by=0.2),
            *(lower(results, f"{method}-class-wise", CLEAN, by=0.2) for method in METHODS),
            Claim(
                f"at its best epoch a victim learns more from class-wise random noise ({percent(peaks['random'])}) "
                f"than from error-minimizing noise ({percent(peaks['error-minimizing'])})",
                judge(
                    peaks["random"] - peaks["error-minimizing"] - 1e-9,
                    *(results[f"{method}-class-wise"].each(lambda one: one.peak) for method in ("random", METHODS[-1])),
                ),
            ),
        ]
