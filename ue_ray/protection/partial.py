"""Protection of some classes of a collection: the people who asked for it, say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ue_ray.storage.inputs.labels import first_names
from ue_ray.storage.inputs.listing import key_hash

Others = Literal["pass", "leave-out"]


@dataclass(frozen=True)
class Partial:
    """Only the classes called ``only`` are protected.

    Images of ``others`` pass into the output, decoded and encoded as all are, but without noise; or they are left out.
    """

    only: tuple[str, ...]
    others: Others = "pass"

    @classmethod
    def of(cls, manifest: Any) -> Partial | None:
        """Of an output's manifest; None where all classes are protected."""
        values = manifest.get("partial")
        return cls(tuple(values["only"]), values["others"]) if values else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "only": list(self.only)}

    def card(self) -> dict[str, Any]:
        """The same, short however many classes there are: a part of what a run is known by."""
        only = first_names(self.only)
        more = {} if only == ", ".join(self.only) else {"digest": key_hash("\0".join(self.only)).hex()}
        return {"classes": len(self.only), "only": only, "others": self.others, **more}


def protected_classes(partial: Partial | None, class_names: Sequence[str]) -> np.ndarray:
    """Whether each class gets noise, bool [K]."""
    if partial is None:
        return np.ones(len(class_names), bool)
    only = set(partial.only)
    return np.array([name in only for name in class_names], bool)


def rows_left_out(partial: Partial | None, class_names: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Whether each row, of these labels, is neither written nor read, bool [n]; one of no class is rejected."""
    if partial is None or partial.others == "pass":
        return np.zeros(len(labels), bool)
    return ~np.append(protected_classes(partial, class_names), True)[labels]  # NO_LABEL is the last
