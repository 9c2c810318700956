"""Can a taker stop in time?"""

from __future__ import annotations

from collections.abc import Mapping

from ue_ray.experiments.base import CLEAN, Arm, Claim, Result, Scale, judge, percent, weakest
from ue_ray.experiments.noise_types import NoiseTypes


class EarlyStopping(NoiseTypes):
    """Stops by held-out images; only a taker with clean images could stop at the peak, which is shown beside it."""

    figure = "Section 4.1"

    def arms(self, scale: Scale) -> list[Arm]:
        stopped = [Arm(f"{arm.label}, stopped", arm.mix, "early-stopping") for arm in super().arms(scale)]
        return [*super().arms(scale), *stopped]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        clean = results[CLEAN].final
        cleans = results[CLEAN].each(lambda one: one.final)
        claims = []
        for form in ("class-wise", "sample-wise"):
            whole, held_out = (results[f"error-minimizing-{form}{ending}"] for ending in ("", ", stopped"))
            peak, stopped = whole.peak, held_out.final
            claims.append(
                Claim(
                    f"error-minimizing {form} noise holds at its best epoch ({percent(peak)}) and where held-out "
                    f"images say stop ({percent(stopped)}); clean {percent(clean)}",
                    weakest(
                        judge(clean - peak - 0.2, cleans, whole.each(lambda one: one.peak)),
                        judge(clean - stopped - 0.2, cleans, held_out.each(lambda one: one.final)),
                    ),
                )
            )
        return claims
