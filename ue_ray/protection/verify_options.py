"""What a user may say of a verification. No torch here: help and mistakes come at once."""

from __future__ import annotations

from dataclasses import dataclass

from ue_ray.errors import UserError, flag, option
from ue_ray.storage.inputs.options import SourceOptions


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(SourceOptions):
    """What the output is compared with, and how that is read: as it was said to protect."""

    input: str | None = option(
        "What the output was made of: each image is then compared with its original, and none may be missing.", None
    )

    def __post_init__(self) -> None:
        if self.input is None and self.source:
            raise UserError(f"{flag(min(self.source))} says how --input is read: give that too")
