"""Curves are read back from where each tracker keeps them: event files, MLflow's store, W&B's offline run."""

import struct

import pytest

from tests.evaluation.test_runs import RUN
from ue_ray.errors import UserError
from ue_ray.evaluation.trackers import PACKAGES, parse_trackers, settings, show

CURVE = [
    {"epoch": epoch, "test_accuracy": 0.5 * epoch, "train_accuracy": 0.25 * epoch, "train_loss": 2.0 / epoch}
    for epoch in (1, 2)
]
SEEN = {"accuracy/test": [0.5, 1.0], "accuracy/train": [0.25, 0.5], "loss/train": [2.0, 1.0]}


def track(name, output):
    assert show(parse_trackers(name), RUN, {"curve": CURVE}, str(output)) == []


def test_tensorboard_has_a_folder_a_victim(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    track("tensorboard", tmp_path)
    (folder,) = (tmp_path / "tensorboard").iterdir()
    assert folder.name == RUN.file_name.removesuffix(".json")
    (file,) = folder.iterdir()
    assert "tfevents" in file.name
    data, found = file.read_bytes(), {}
    while data:  # records of: length, its checksum, the event, its checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert found == {name: [(1, values[0]), (2, values[1])] for name, values in SEEN.items()}
    track("tensorboard", tmp_path)
    assert len(list(folder.iterdir())) == 1, "a run is shown once"


def test_mlflow_has_a_run_a_victim(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    store = (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    track("mlflow", tmp_path)
    client = MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("ue_ray").experiment_id])
    assert run.info.run_name == RUN.file_name.removesuffix(".json")
    assert run.data.params == {name: str(value) for name, value in settings(RUN).items()}
    for name, values in SEEN.items():
        history = client.get_metric_history(run.info.run_id, name)
        assert [(point.step, point.value) for point in history] == [(1, values[0]), (2, values[1])]


def test_wandb_keeps_a_run_a_victim(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    track("wandb", tmp_path)
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    data = file.read_bytes()
    assert all(name.encode() in data for name in SEEN)
    assert RUN.file_name.removesuffix(".json").encode() in data


def test_a_tracker_out_of_reach_is_a_line_and_shown_the_run_next_time(tmp_path):
    shown = []

    def refusing(run, entry, output):
        raise ConnectionError("no answer\nfrom there")

    def answering(run, entry, output):
        shown.append(run)

    (line,) = show({"mlflow": refusing, "wandb": answering}, RUN, {"curve": CURVE}, str(tmp_path))
    assert line.startswith("--track mlflow: ")
    assert line.endswith(" is not shown: no answer from there")
    assert shown == [RUN], "the others are shown it"
    assert show({"mlflow": answering, "wandb": answering}, RUN, {"curve": CURVE}, str(tmp_path)) == []
    assert shown == [RUN, RUN], "only who has not seen it"


def test_what_is_not_there_is_one_line_before_anything_starts(monkeypatch):
    assert parse_trackers("") == {}
    with pytest.raises(UserError, match="unknown tracker 'excel': choose among tensorboard, mlflow, wandb"):
        parse_trackers("tensorboard, excel")
    monkeypatch.setitem(PACKAGES, "mlflow", "no_such_package")
    with pytest.raises(UserError, match=r"--track mlflow needs a package .*: pip install 'ue-ray\[mlflow\]'"):
        parse_trackers("mlflow")
