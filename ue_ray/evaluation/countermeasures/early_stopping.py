"""Early stopping: takes the network of the epoch that looks best to the data taker."""

from __future__ import annotations

from ue_ray.evaluation.countermeasures.base import Countermeasure


class EarlyStopping(Countermeasure):
    """``early-stopping``: keeps back a tenth of the training images, and takes the epoch with the best accuracy on it
    (Section 4.1 of the paper).

    The taker has no other images, so those kept back are protected like the rest. A taker with clean images could stop
    at the peak accuracy, which every result states.
    """

    forms = "early-stopping"
    held_out = 0.1
