"""What a reproduction is asked to do, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ue_ray.errors import UserError, flag
from ue_ray.evaluation.options import read_options
from ue_ray.evaluation.runs import VictimRuns
from ue_ray.experiments import Experiment, find_experiment
from ue_ray.experiments.board import Board
from ue_ray.experiments.options import BOARD, ReproduceOptions
from ue_ray.storage.filesystem import absolute, join, list_names
from ue_ray.storage.inputs.open_source import BUILTINS, glance, keep_apart, open_source
from ue_ray.storage.inputs.options import OF_BUILTINS
from ue_ray.storage.inputs.tar_files import is_tar


@dataclass(frozen=True)
class Job:
    """What is asked for, checked as far as it can be without listing the data."""

    name: str
    experiment: Experiment
    output: str
    store: VictimRuns
    options: ReproduceOptions

    def place(self, *names: str) -> str:
        """Returns the URI of a file or folder below the output."""
        return join(absolute(self.output), *names)


def resolve(name: str, output: str, given: Mapping[str, Any]) -> Job:
    """Reads the options. Raises UserError for a mistake."""
    experiment = find_experiment(name)
    if isinstance(experiment, Board):
        given = {"recipe": "fast", "seeds": (0,)} | {
            option: value for option, value in given.items() if value is not None
        }
    options = read_options(ReproduceOptions, given).resolved
    own = {option: getattr(options, option) for option in BOARD if getattr(options, option) is not None}
    if isinstance(experiment, Board):
        experiment = replace(experiment, **own)
        experiment.check(options.epsilon)
    elif own:
        raise UserError(f"{flag(next(iter(own)))} is for the board: {name} has no use for it")
    needs_other = any(recipe.other for recipe in experiment.recipes())
    if needs_other and options.other is None:
        raise UserError(f"{name} needs --other, a second data set")
    for option in ("other", "class_map"):
        if getattr(options, option) is not None and not needs_other:
            raise UserError(f"{flag(option)} is for transfer: {name} has no use for it")
    keep_apart(output, {"data": options.data, "other": options.other, "class_map": options.class_map})
    for data in filter(None, (options.data, options.other)):
        if data.endswith(".parquet"):
            raise UserError(f"{data}: is a file; expected a folder with train.parquet and test.parquet")
        if data in BUILTINS:
            open_source(data, **{name: value for name, value in options.source.items() if name in OF_BUILTINS})
        with suppress(OSError):  # what cannot be listed is said where it is opened
            if data not in BUILTINS and (is_tar(data) or not list_names(absolute(data))):
                glance(open_source(data, **options.source))
    store = VictimRuns(join(absolute(output), "victims"))
    store.check()
    return Job(name, experiment, output, store, options)
