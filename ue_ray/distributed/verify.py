"""Verifying on Ray: each recorded file is read and judged by a task; only what it found comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import ray
import torch

from ue_ray.distributed import cluster
from ue_ray.distributed.console import Progress
from ue_ray.errors import FaultsFound
from ue_ray.protection.verify import Verification
from ue_ray.protection.verify_file import FileCheck, FileChecker, Originals
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.shards import FileRecord


@dataclass(frozen=True)
class VerifyConfig:
    """Read a committed output again, every byte of it, and say what is not as it was committed."""

    output: str
    """What protect_dataset.py wrote."""
    input: str | None = None
    """What it was made of: each image is then held beside its original, and nothing may be missing."""
    labels: str | None = None
    """Where the input's labels come from, as it was said to protect_dataset.py."""


def verify(config: VerifyConfig) -> None:
    """Print every fault, and a summary. Raises FaultsFound if there is one, UserError where there is no output."""
    source = open_source(config.input, config.labels) if config.input else None
    verification = Verification(absolute(config.output), source, _know)
    cluster.connect()
    progress = Progress("verify")
    for fault in verification.faults(partial(check_on_ray, progress=progress)):
        progress.clear()
        print(fault, flush=True)
    if verification.count:
        raise FaultsFound(verification.summary())
    print(verification.summary())


@dataclass(frozen=True)
class _InputOnRay:
    """An input that a task has listed: its rows stay in the object store."""

    class_names: list[str]
    fingerprint: str
    originals: ray.ObjectRef

    def left_out(self, ids: np.ndarray) -> list[str]:
        with cluster.causes():
            return ray.get(_left_out.remote(self.originals, ids))

    def here(self) -> Originals:
        return ray.get(self.originals)


def _know(source: Source) -> _InputOnRay:
    refs: Any = _list.remote(source)
    known, originals = refs
    with cluster.causes():
        class_names, fingerprint = ray.get(known)
    return _InputOnRay(class_names, fingerprint, originals)


@ray.remote(num_returns=2)
def _list(source: Source) -> tuple[tuple[list[str], str], Originals]:
    originals = Originals.of(source)
    return (originals.class_names, originals.fingerprint), originals


@ray.remote
def _left_out(originals: Originals, ids: np.ndarray) -> list[str]:
    return originals.left_out(ids)


def check_on_ray(checker: FileChecker, records: Iterable[FileRecord], progress: Progress) -> Iterator[FileCheck]:
    """The check of each record, in no particular order; two tasks a CPU are under way at most."""
    records = list(records)
    shared = ray.put(checker)
    waiting, pending = iter(records), list[ray.ObjectRef]()
    done, most = 0, max(1, int(2 * cluster.cpus()))
    with cluster.causes():
        while True:
            pending += [_check.remote(shared, record) for record in islice(waiting, most - len(pending))]
            if not pending:
                break
            ready, pending = ray.wait(pending)
            for check in ray.get(ready):
                done += 1
                progress.show(f"{done:,} of {len(records):,} files", done / len(records))
                yield check
    progress.done(f"{done:,} files read")


@ray.remote(num_cpus=1)
def _check(checker: FileChecker, record: FileRecord) -> FileCheck:
    torch.set_num_threads(1)
    return checker(record)
