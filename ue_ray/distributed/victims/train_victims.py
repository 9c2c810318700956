"""Trains victims, side by side or each with several workers; those that were trained before are not trained again."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import ray
import torch

from ue_ray.distributed import cluster
from ue_ray.distributed.boards import Epochs, Reached, watching
from ue_ray.distributed.console import Progress
from ue_ray.distributed.gpus import wait_for_gpus
from ue_ray.distributed.metrics import Metrics
from ue_ray.distributed.victims.hardware import Hardware
from ue_ray.distributed.victims.image_sets import Images
from ue_ray.distributed.victims.spanning_victim import train_together
from ue_ray.distributed.victims.train_victim import train_victim
from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.evaluation.trackers import Tracker, show
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute

ImagesOf = Callable[[VictimRun], tuple[Images, Images]]  # the images that a run trains on, and is tested on
Trained = tuple[VictimRun, dict[str, Any]]  # with its entry of results.json


def train_victims(
    runs: Sequence[VictimRun],
    store: VictimRuns,
    images_of: ImagesOf,
    hardware: Hardware,
    trackers: Mapping[str, Tracker],
) -> dict[VictimRun, dict[str, Any]]:
    """Trains the victims that ``store`` does not have; returns the entry of each in results.json.

    Victims of one worker are trained side by side, small ones several on a GPU (``Hardware.alone``); one that runs out
    of a GPU's memory is trained once more, alone on a GPU. Victims of several workers follow one after the other
    (``train_together``). Each run, those from ``store`` too, is shown to ``trackers``. Raises UserError for a GPU that
    torch cannot use.
    """
    entries = {run: entry for run in runs if (entry := store.finished(run)) is not None}
    kept, missing = len(entries), [run for run in runs if run not in entries]
    console, metrics = _Console(missing), Metrics(store.uri)
    for run, entry in entries.items():
        console.say(show(trackers, run, entry, store.uri))
    epochs = cluster.beside_the_driver(Epochs)
    if hardware.gpu and missing:
        wait_for_gpus(max(run.workers for run in missing))
    alone = _side_by_side([run for run in missing if run.workers == 1], store, images_of, hardware, epochs)
    together = (
        (run, train_together(run, images_of(run), store, hardware, epochs)) for run in missing if run.workers > 1
    )
    by_name = {run.file_name: run for run in missing}

    def show_reached(victims: dict[str, Reached]) -> None:
        console.show(sum(reached.epoch for reached in victims.values()))
        for name, reached in victims.items():
            metrics.victim(by_name[name], reached)

    with watching(lambda: ray.get(epochs.victims.remote()), show_reached):
        for run, entry in chain(alone, together):
            entries[run] = entry
            metrics.victim(run, Reached(entry["epochs"], entry["final_test_accuracy"]))
            console.say(show(trackers, run, entry, store.uri))
            console.ended(run, entry)
    console.progress.done(f"{len(missing)} trained" + (f" ({kept} kept)" if kept else ""))
    return entries


class _Console:
    """Says how far the training of ``runs`` is."""

    def __init__(self, runs: Sequence[VictimRun]) -> None:
        self.progress = Progress("victims")
        self._count, self._epochs = len(runs), sum(run.plan.epochs for run in runs)
        self._ended, self._last = 0, ""

    def say(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.progress.clear()
            print(line, file=sys.stderr, flush=True)

    def ended(self, run: VictimRun, entry: Mapping[str, Any]) -> None:
        accuracy = 100 * entry["final_test_accuracy"]
        self._last = f", last {run.title} {accuracy:.1f} %"
        self._ended += 1

    def show(self, epochs: int) -> None:
        self.progress.show(
            f"{self._ended} of {self._count} trained, {epochs} of {self._epochs} epochs{self._last}",
            epochs / self._epochs,
        )


def _side_by_side(
    runs: Sequence[VictimRun], store: VictimRuns, images_of: ImagesOf, hardware: Hardware, epochs: Any
) -> Iterator[Trained]:
    """Yields each run and its entry, in the order in which they end."""

    def start(run: VictimRun, share: Mapping[str, float]) -> None:
        pending[_start(share, (*images_of(run), run, store, epochs))] = run, share

    pending: dict[Any, tuple[VictimRun, Mapping[str, float]]] = {}
    for run in runs:
        start(run, hardware.alone(run))
    while pending:
        ready, _ = ray.wait(list(pending), timeout=1.0)
        for reference in ready:
            run, share = pending.pop(reference)
            try:
                yield run, ray.get(reference)
            except Exception as error:
                if not _OUT_OF_MEMORY.search(str(error)) or share["GPU"] == 1:
                    raise
                start(run, hardware.alone(run, again=True))


_OUT_OF_MEMORY = re.compile("CUDA out of memory|CUDA error: out of memory|_ALLOC_FAILED")  # torch, CUDA, its libraries


def _start(share: Mapping[str, float], arguments: tuple[Any, ...]) -> Any:
    """Trains a victim in a task; returns a reference to its entry."""
    task = _on_gpu if share["GPU"] else _on_cpus
    name = f"victim {arguments[2].title}"
    return task.options(name=name, num_cpus=share["CPU"], num_gpus=share["GPU"]).remote(*arguments)


def _train(
    train: LabelledImages, test: LabelledImages, run: VictimRun, store: VictimRuns, epochs: Any
) -> dict[str, Any]:
    given = ray.get_runtime_context().get_assigned_resources()
    torch.set_num_threads(max(1, int(given.get("CPU", 1))))
    compute = Compute.detect("cuda" if given.get("GPU") else "cpu")  # without one, none of somebody else's
    return train_victim(run, train, test, compute, store, epochs)


_on_cpus = ray.remote(_train)
_on_gpu = ray.remote(max_calls=1)(_train)  # a process that is kept would keep its memory of the GPU from others
