"""Shows the learning curves of victims in TensorBoard, MLflow, and Weights & Biases."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ue_ray.errors import UserError, choose_all, one_line
from ue_ray.evaluation.runs import TRACKED, VictimRun
from ue_ray.storage.filesystem import join, read_if_there, write_bytes

PROJECT = "ue_ray"
Tracker = Callable[[VictimRun, Mapping[str, Any], str], None]  # a run, its entry in results.json, the output's URI


def tensorboard(run: VictimRun, entry: Mapping[str, Any], output: str) -> None:
    """Writes an event file below ``output``/tensorboard/, which may be in a bucket: TensorBoard reads those too."""
    from tensorboardX import SummaryWriter

    place = join(output, "tensorboard", run.file_name.removesuffix(".json"))
    with tempfile.TemporaryDirectory() as folder:
        with SummaryWriter(folder) as writer:
            writer.add_text("run", "\n".join(f"- {name}: {value}" for name, value in settings(run).items()))
            for epoch in entry["curve"]:
                for name, value in measures(epoch).items():
                    writer.add_scalar(name, value, epoch["epoch"])
        (file,) = Path(folder).iterdir()
        write_bytes(join(place, file.name), file.read_bytes())


def mlflow(run: VictimRun, entry: Mapping[str, Any], output: str) -> None:
    """Logs a run of the experiment ``ue_ray`` at ``MLFLOW_TRACKING_URI``, or at MLflow's default."""
    import mlflow

    mlflow.set_experiment(PROJECT)
    with mlflow.start_run(run_name=run.file_name.removesuffix(".json")):
        mlflow.log_params(settings(run))
        for epoch in entry["curve"]:
            mlflow.log_metrics(measures(epoch), step=epoch["epoch"])


def wandb(run: VictimRun, entry: Mapping[str, Any], output: str) -> None:
    """Logs a run of the project ``ue_ray``; ``WANDB_MODE`` and the other variables of W&B hold."""
    import wandb

    name = run.file_name.removesuffix(".json")
    with wandb.init(project=PROJECT, name=name, config=settings(run)) as tracked:
        for epoch in entry["curve"]:
            tracked.log(measures(epoch), step=epoch["epoch"])


TRACKERS: dict[str, Tracker] = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}
PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}


def parse_trackers(text: str) -> dict[str, Tracker]:
    """Returns the trackers in a text such as ``"tensorboard,mlflow"``, by name; none for an empty text.

    Raises UserError for an unknown name, and for a package that is not installed.
    """
    names = choose_all(text, TRACKERS, "tracker")
    for name in names:
        if find_spec(PACKAGES[name]) is None:
            raise UserError(f"--track {name} needs a package that is not here: pip install 'ue-ray[{name}]'")
    return {name: TRACKERS[name] for name in names}


def show(trackers: Mapping[str, Tracker], run: VictimRun, entry: Mapping[str, Any], output: str) -> list[str]:
    """Shows ``run`` to each of ``trackers`` once; a file below ``output``/tracked/ says that it was shown.

    Returns a line for each tracker that failed: a service out of reach must not end hours of training. It is shown the
    run when the evaluation is run again.
    """
    failed = []
    for name, tracker in trackers.items():
        mark = join(output, TRACKED, name, run.file_name)
        if read_if_there(mark) is not None:
            continue
        try:
            tracker(run, entry, output)
        except Exception as error:
            failed.append(f"--track {name}: {run.file_name.removesuffix('.json')} is not shown: {one_line(error)}")
        else:
            write_bytes(mark, b"shown\n")
    return failed


def settings(run: VictimRun) -> dict[str, Any]:
    """Returns what a run is, for the tracker's table of runs."""
    return {**asdict(run.plan), "train_set": run.train_set, "countermeasure": run.countermeasure, "side": run.side}


def measures(epoch: Mapping[str, Any]) -> dict[str, float]:
    """Returns the accuracies in [0, 1] and the loss of an epoch, by the names of their charts."""
    names = {"test_accuracy": "accuracy/test", "train_accuracy": "accuracy/train", "train_loss": "loss/train"}
    return {chart: epoch[name] for name, chart in names.items()}
