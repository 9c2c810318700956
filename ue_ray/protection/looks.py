"""Which images of a run people are shown: some of every class, and those that changed most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any

from ue_ray.images.quality import Likeness

SPREAD, WORST = 12, 10


@dataclass(frozen=True)
class Look:
    """A protected image, the shard that it is in, and how much it is like its original."""

    sample_id: str
    label: int
    shard: int
    likeness: Likeness

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Look:
        return cls(**{**fields, "likeness": Likeness(**fields["likeness"])})

    @property
    def order(self) -> tuple[float, float, str]:
        """By SSIM, where there is one, then by PSNR: the least first."""
        ssim, psnr = self.likeness.ssim, self.likeness.psnr
        return 1.0 if ssim is None else ssim, inf if psnr is None else psnr, self.sample_id


@dataclass(frozen=True)
class Looks:
    """Of any set of images: SPREAD of them, from as many classes as there are, and the WORST that changed most.

    Those of a sum are those of all its images, in whatever order they are summed: sample_ids, which are hashes, choose.
    """

    spread: tuple[Look, ...] = ()
    worst: tuple[Look, ...] = ()

    @classmethod
    def of(cls, looks: Iterable[Look]) -> Looks:
        looks = list(looks)
        return cls(_spread(looks), _worst(looks))

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Looks:
        return cls(**{name: tuple(map(Look.from_json, looks)) for name, looks in fields.items()})

    def __add__(self, other: Looks) -> Looks:
        return Looks(_spread([*self.spread, *other.spread]), _worst([*self.worst, *other.worst]))


def _spread(looks: Iterable[Look]) -> tuple[Look, ...]:
    """The first of each class, then the second of each, and so on."""
    seen = Counter[int]()
    ranked = []
    for look in sorted(looks, key=lambda look: look.sample_id):
        ranked.append((seen[look.label], look.sample_id, look))
        seen[look.label] += 1
    return tuple(look for _, _, look in sorted(ranked, key=lambda rank: rank[:2])[:SPREAD])


def _worst(looks: Iterable[Look]) -> tuple[Look, ...]:
    return tuple(sorted(looks, key=lambda look: look.order)[:WORST])
