"""No countermeasure."""

from __future__ import annotations

from ue_ray.evaluation.countermeasures.base import Countermeasure


class Nothing(Countermeasure):
    """``none``: leaves the images as they are. The others are compared with it."""

    forms = "none"
