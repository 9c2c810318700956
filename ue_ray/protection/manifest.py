"""What a committed output says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ue_ray.storage.outputs.output import ENDS, added_up


@dataclass(frozen=True)
class Manifest:
    """The manifest of the output at ``uri``; ``values`` is all of it, as in ``manifest.json``.

    Example:
        >>> manifest = Manifest("protected", {"inputs": 3, "protected": 2, "rejected": 1, "max_abs_delta": 8 / 255})
        >>> str(manifest)
        '2 protected + 1 rejected = 3 inputs'
    """

    uri: str
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __str__(self) -> str:
        return f"{added_up({name: self._count(name) for name in ENDS})} = {self.inputs:,} inputs"

    @property
    def inputs(self) -> int:
        return int(self.values["inputs"])

    @property
    def protected(self) -> int:
        return int(self.values["protected"])

    @property
    def rejected(self) -> int:
        return int(self.values["rejected"])

    @property
    def passed_through(self) -> int:
        """The images of classes that were not to be protected, which are in the output without noise."""
        return self._count("passed_through")

    @property
    def left_out(self) -> int:
        """The images of the input that were not chosen, and are not in the output."""
        return self._count("left_out")

    def _count(self, name: str) -> int:
        return int(self.values.get(name, 0))  # an earlier version had two of them

    @property
    def rejected_reasons(self) -> Mapping[str, int]:
        """How many inputs were rejected for each reason."""
        return dict(self.values["rejected_reasons"])

    @property
    def class_names(self) -> list[str]:
        return list(self.values["class_names"])

    @property
    def max_abs_delta(self) -> float:
        """The largest change of a pixel's channel that was measured, in [0, 1] units."""
        return float(self.values["max_abs_delta"])

    @property
    def weakness(self) -> str:
        """What speaks against the noise, in one line; empty where nothing does."""
        return "; ".join(self.values.get("weak", ()))

    @property
    def noise(self) -> str:
        """The URI of the noise artifact, for ``load_noise`` and ``--artifact``."""
        return f"{self.uri}/noise"
