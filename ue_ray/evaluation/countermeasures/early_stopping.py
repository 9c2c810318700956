"""The network of the best epoch, as a taker can know it."""

from __future__ import annotations

from ue_ray.evaluation.countermeasures.base import Countermeasure


class EarlyStopping(Countermeasure):
    """A tenth of the training images is kept back; the epoch that does best on it counts (Section 4.1 of the paper).

    A taker has no other images than those taken: what is kept back is protected like the rest. The peak accuracy that
    every result states is what a taker with clean images could stop at.
    """

    forms = "early-stopping"
    held_out = 0.1
