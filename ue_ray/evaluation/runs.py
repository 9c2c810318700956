"""Keeps the result of each victim in a file of its own, so that an evaluation that was cut off can go on."""

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
OURS = {RUNS, TRACKED, "results.json", "report.html", "tensorboard"}  # all that an evaluation writes


@dataclass(frozen=True)
class VictimRun:
    """One victim to train: everything that decides its result.

    ``train_set``: what it is trained on, such as ``clean``. ``train`` and ``test`` identify the images: the digest of
    the decoded set, and how it was changed (the budget of a control, a mixture). ``side``: the side of the images, in
    pixels. ``pair_classes``: the people whose test images, and those of all others, are judged in pairs
    (``face_pairs``), if any. ``workers``: the number of workers that train it together.
    """

    plan: TrainingPlan
    train_set: str
    countermeasure: str
    train: str
    test: str
    side: int
    pair_classes: tuple[int, ...] = ()
    workers: int = 1

    @property
    def title(self) -> str:
        """What it is, in words: ``resnet18 on clean with jpeg-50, seed 0``."""
        measure = "" if self.countermeasure == "none" else f" with {self.countermeasure}"
        return f"{self.plan.model} on {self.train_set}{measure}, seed {self.plan.seed}"

    @property
    def file_name(self) -> str:
        """The name of the file of its result: readable, and different for different runs.

        Fields with their default value are left out of the digest, so that a new field does not rename earlier runs.
        """
        defaults = {field.name: field.default for field in fields(self)}
        decisive = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        digest = sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]
        return f"{self.plan.model}-{self.train_set}-{self.countermeasure}-seed{self.plan.seed}-{digest}.json"


@dataclass(frozen=True)
class VictimRuns:
    """The results of the evaluation at ``uri``, a file for each run."""

    uri: str

    def check(self) -> None:
        """Raises UserError if the place cannot be written, or holds something that no evaluation writes."""
        try:
            if foreign := sorted(set(list_names(self.uri)) - OURS):
                raise UserError(f"{self.uri}: holds {foreign[0]}, and no evaluation: choose an empty place")
            check_writable(self.uri)
        except OSError as error:
            raise UserError(f"{self.uri}: cannot be written: {one_line(error)}") from error

    def finished(self, run: VictimRun) -> dict[str, Any] | None:
        """Returns the entry of ``run`` in results.json; None if it was not trained, or if its file is incomplete."""
        text = read_if_there(join(self.uri, RUNS, run.file_name))
        try:
            entry: dict[str, Any] | None = json.loads(text) if text else None
        except ValueError:
            return None
        return entry

    def write(self, run: VictimRun, entry: dict[str, Any]) -> None:
        """Writes the entry of ``run`` in results.json to a file of its own."""
        write_bytes(join(self.uri, RUNS, run.file_name), json.dumps(entry, indent=1).encode())
