"""What the shards of a run came to, all together; small, however many there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any

from ue_ray.protection.looks import Looks
from ue_ray.protection.shard import Change, ShardResult
from ue_ray.storage.outputs.shards import ShardRecord

LISTED = 1000  # names that are not the input's


@dataclass
class Totals:
    """The sum of the results that ``add`` was given, in whatever order. ``renamed``: the first LISTED, by key."""

    records: list[ShardRecord] = field(default_factory=list)
    change: Change = field(default_factory=Change)
    looks: Looks = field(default_factory=Looks)
    notes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    extensions: Counter[str] = field(default_factory=Counter)
    renamed: dict[str, str] = field(default_factory=dict)
    renamed_count: int = 0

    def add(self, result: ShardResult) -> None:
        self.records.append(result.record)
        self.change += result.change
        self.looks += result.looks
        self.notes.update(result.notes)
        self.reasons.update(result.record.reasons)
        self.examples |= result.examples
        self.extensions.update(result.extensions)
        if result.renamed:
            self.renamed_count += len(result.renamed)
            self.renamed = dict(nsmallest(LISTED, (self.renamed | result.renamed).items()))

    @property
    def protected(self) -> int:
        return sum(record.protected for record in self.records)

    @property
    def passed(self) -> int:
        return sum(record.passed for record in self.records)

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "max_abs_delta": self.change.largest,
            "surviving_share": self.change.surviving_share,
            "notes": dict(sorted(self.notes.items())),
            "names": {
                "extensions": dict(sorted(self.extensions.items())),
                "changed": self.renamed_count,
                "first": self.renamed,
            },
        }

    def rejections(self) -> list[str]:
        """A line for each of the five most frequent reasons, with an example, and one for the rest."""
        common, rest = self.reasons.most_common(5), self.reasons.most_common()[5:]
        lines = [f"{count:,} {reason} (such as {self.examples[reason]})" for reason, count in common]
        return lines + [f"{sum(count for _, count in rest):,} for {len(rest)} other reasons"] * bool(rest)
