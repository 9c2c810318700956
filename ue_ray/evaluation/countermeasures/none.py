"""The images as they are."""

from __future__ import annotations

from ue_ray.evaluation.countermeasures.base import Countermeasure


class Nothing(Countermeasure):
    """No countermeasure: what every other is compared with."""

    forms = "none"
