"""What each victim reached, in a file of its own from the moment it is trained: an evaluation goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any

from ue_ray.errors import UserError, one_line
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.storage.filesystem import check_writable, join, list_names, read_if_there, write_bytes

RUNS = "runs"
TRACKED = "tracked"
OURS = {RUNS, TRACKED, "results.json", "report.html", "tensorboard"}


@dataclass(frozen=True)
class VictimRun:
    """One victim to be trained; all that decides what comes of it.

    ``train`` and ``test`` identify the images (``Summary.fingerprint`` and, for an output, its manifest's digest;
    for the control also its budget). ``verified``: the people within which, and without which, pairs of test images are
    verified; empty: none are. ``workers``: how many train it together, each of which draws its own chance.
    """

    plan: TrainingPlan
    train_set: str
    countermeasure: str
    train: str
    test: str
    side: int
    verified: tuple[int, ...] = ()
    workers: int = 1

    @property
    def file_name(self) -> str:
        """Readable, and another for whatever differs. What is not asked for is not named: older runs are found."""
        defaults = {field.name: field.default for field in fields(self)}
        decided = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        digest = sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]
        return f"{self.plan.model}-{self.train_set}-{self.countermeasure}-seed{self.plan.seed}-{digest}.json"


@dataclass(frozen=True)
class VictimRuns:
    """The finished runs of the evaluation at ``uri``."""

    uri: str

    def check(self) -> None:
        """Raises UserError for a place that cannot be written, or holds what no evaluation put there."""
        try:
            if foreign := sorted(set(list_names(self.uri)) - OURS):
                raise UserError(f"{self.uri}: holds {foreign[0]}, and no evaluation: choose an empty place")
            check_writable(self.uri)
        except OSError as error:
            raise UserError(f"{self.uri}: cannot be written: {one_line(error)}") from error

    def finished(self, run: VictimRun) -> dict[str, Any] | None:
        """What came of ``run``; None if it has not been trained, or its file is no whole one."""
        text = read_if_there(join(self.uri, RUNS, run.file_name))
        try:
            found: dict[str, Any] | None = json.loads(text) if text else None
        except ValueError:
            return None
        return found

    def write(self, run: VictimRun, result: dict[str, Any]) -> None:
        write_bytes(join(self.uri, RUNS, run.file_name), json.dumps(result, indent=1).encode())
