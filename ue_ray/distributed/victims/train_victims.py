"""Victims as concurrent Ray tasks, or each over several workers; a result is kept from the moment it is there, and not
made twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from typing import Any

import pyarrow as pa
import ray
import torch

from ue_ray.distributed import cluster
from ue_ray.distributed.boards import Epochs, watching
from ue_ray.distributed.console import Progress
from ue_ray.distributed.survey import Survey
from ue_ray.distributed.victims.one_victim import train_one
from ue_ray.distributed.victims.spanning_victim import train_together
from ue_ray.evaluation.countermeasures import Countermeasure
from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.evaluation.trackers import Tracker, show
from ue_ray.evaluation.victim import load_data_set, purified
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.learning.models import SMALL_IMAGE
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.listing import Listing, Source
from ue_ray.storage.inputs.open_source import BUILTINS
from ue_ray.storage.outputs.output import Output

Images = Any  # a reference to a LabelledImages
ImagesOf = Callable[[VictimRun], tuple[Images, Images]]  # its training and test images


def train_victims(
    wanted: Sequence[VictimRun], store: VictimRuns, images: ImagesOf, cpus: int, trackers: Mapping[str, Tracker]
) -> dict[VictimRun, dict[str, Any]]:
    """What came of each of ``wanted``; trained are those that ``store`` does not have. All are shown to ``trackers``.

    Those of one worker are trained side by side: each takes ``cpus`` CPUs and, where there are GPUs, one of them, a
    quarter for small images. Those of several workers follow one after the other (``train_together``).
    """
    results = {run: found for run in wanted if (found := store.finished(run)) is not None}
    kept, missing = len(results), [run for run in wanted if run not in results]
    progress = Progress("victims")

    def track(run: VictimRun) -> None:
        for line in show(trackers, run, results[run], store.uri):
            progress.clear()
            print(line, file=sys.stderr, flush=True)

    for run in results:
        track(run)
    epochs, total = cluster.beside_the_driver(Epochs), sum(run.plan.epochs for run in missing)
    ended: list[str] = []

    def show_reached(reached: int) -> None:
        last = f", last {ended[-1]}" if ended else ""
        progress.show(f"{len(ended)} of {len(missing)} trained, {reached} of {total} epochs{last}", reached / total)

    alone = _side_by_side([run for run in missing if run.workers == 1], store, images, cpus, epochs)
    spanning = ((run, train_together(run, images(run), store, cpus, epochs)) for run in missing if run.workers > 1)
    with watching(lambda: ray.get(epochs.total.remote()), show_reached):
        for run, result in chain(alone, spanning):
            results[run] = result
            track(run)
            handled = "" if run.countermeasure == "none" else f" with {run.countermeasure}"
            accuracy = 100 * result["final_test_accuracy"]
            ended.append(f"{run.plan.model} on {run.train_set}{handled} {accuracy:.1f} %")
    progress.done(f"{len(missing)} trained" + (f" ({kept} kept)" if kept else ""))
    return results


def _side_by_side(
    runs: Sequence[VictimRun], store: VictimRuns, images: ImagesOf, cpus: int, epochs: Any
) -> Iterator[tuple[VictimRun, dict[str, Any]]]:
    """What came of each, in the order in which they end."""
    cpus_each, gpus = min(cpus, cluster.cpus()), cluster.gpus()
    pending = dict[Any, VictimRun]()
    for run in runs:
        gpu = (0.25 if run.side <= SMALL_IMAGE else 1.0) if gpus else 0
        task = _victim.options(num_cpus=cpus_each, num_gpus=gpu)
        pending[task.remote(*images(run), run, store, epochs)] = run
    while pending:
        ready, _ = ray.wait(list(pending), timeout=1.0)
        for ref in ready:
            yield pending.pop(ref), ray.get(ref)


def identified(found: Survey) -> str:
    """What tells these images from any others: their listing and, of an output of ours, all that is recorded of it,
    since a listing alone does not tell one noise from another."""
    uri = found.source.uri
    output = Output(absolute(uri))
    committed = uri not in BUILTINS and output.is_committed()
    digest = sha256(json.dumps(output.manifest(), sort_keys=True).encode()).hexdigest() if committed else ""
    return f"{found.summary.fingerprint} {digest}"


def load(found: Survey, side: int) -> Images:
    """All its images, decoded by a task."""
    return _load.remote(found.source, found.table, found.summary.class_names, side)


def handled(images: Images, countermeasure: Countermeasure) -> Images:
    """``images`` as a taker trains on them who purifies them first."""
    return _purify.remote(images, countermeasure) if countermeasure.purifies else images


@ray.remote
def _load(source: Source, table: pa.Table, class_names: list[str], side: int) -> LabelledImages:
    return load_data_set(source, Listing(table, class_names), side)


@ray.remote
def _purify(data: LabelledImages, countermeasure: Countermeasure) -> LabelledImages:
    return purified(data, countermeasure)


@ray.remote
def _victim(
    train: LabelledImages, test: LabelledImages, run: VictimRun, store: VictimRuns, epochs: Any
) -> dict[str, Any]:
    torch.set_num_threads(max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))))
    return train_one(run, train, test, Compute.detect(), store, epochs)
