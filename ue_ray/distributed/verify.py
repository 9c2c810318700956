"""Verifies a committed output on Ray: a task reads and judges each recorded file; only its findings come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import ray
import torch

from ue_ray.distributed import cluster
from ue_ray.distributed.causes import causes
from ue_ray.distributed.console import Progress
from ue_ray.evaluation.options import read_options
from ue_ray.protection.partial import Partial
from ue_ray.protection.verify import Verification as OutputCheck
from ue_ray.protection.verify_file import FileCheck, FileChecker, Originals
from ue_ray.protection.verify_options import VerifyOptions
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.shards import FileRecord


@dataclass(frozen=True)
class Verification:
    """The outcome of ``verify``. ``faults``: a line for each, which names the file; ``summary``: one line."""

    output: str
    faults: list[str]
    summary: str

    def __str__(self) -> str:
        return self.summary


def verify(
    output: str, input: str | None = None, on_fault: Callable[[str], None] | None = None, **options: Any
) -> Verification:
    """Reads every byte of the committed output at ``output`` again, and finds what is not as it was committed.

    With ``input``, what the output was made of, each image is compared with its original, and every image of the input
    must be in the output. ``options``: those of ``ue-ray verify --help``, by name; they say how ``input`` is read.
    ``on_fault`` is called with each fault as it is found.

    Raises UserError if there is no committed output or the input cannot be listed, RunError if a place is out of reach.

    Example:
        >>> import ue_ray
        >>> ue_ray.verify("protected", "photos").faults  # doctest: +SKIP
        []
    """
    with causes():
        given = read_options(VerifyOptions, {"input": input, **options})
        source = open_source(given.input, **given.source) if given.input else None
        check = OutputCheck(absolute(output), source, _list_on_ray)
        cluster.connect()
        progress = Progress("verify")
        faults = []
        for fault in check.faults(partial(check_on_ray, progress=progress)):
            faults.append(fault)
            if on_fault:
                progress.clear()
                on_fault(fault)
        return Verification(check.uri, faults, check.summary())


@dataclass(frozen=True)
class _InputOnRay:
    """An input that a task has listed: its rows stay in the object store."""

    class_names: list[str]
    fingerprint: str
    left_out: int
    originals: ray.ObjectRef

    def missing(self, ids: np.ndarray) -> list[str]:
        return ray.get(_missing.options(name="verify: what is missing").remote(self.originals, ids))

    def here(self) -> Originals:
        return ray.get(self.originals)


def _list_on_ray(source: Source, dropped: list[str], partial: Partial | None) -> _InputOnRay:
    references: Any = _list.options(name="verify: list").remote(source, dropped, partial)
    facts, originals = references
    class_names, fingerprint, left_out = ray.get(facts)
    return _InputOnRay(class_names, fingerprint, left_out, originals)


@ray.remote(num_returns=2)
def _list(source: Source, dropped: list[str], partial: Partial | None) -> tuple[tuple[list[str], str, int], Originals]:
    originals = Originals.of(source, dropped, partial)
    return (originals.class_names, originals.fingerprint, originals.left_out), originals


@ray.remote
def _missing(originals: Originals, ids: np.ndarray) -> list[str]:
    return originals.missing(ids)


def check_on_ray(checker: FileChecker, records: Iterable[FileRecord], progress: Progress) -> Iterator[FileCheck]:
    """Yields the check of each record, as they end; at most two tasks a CPU are under way."""
    records = list(records)
    shared = ray.put(checker)
    waiting, pending = iter(records), list[ray.ObjectRef]()
    done, most = 0, max(1, int(2 * cluster.cpus()))
    while True:
        pending += [
            _check.options(name="verify: a file").remote(shared, record)
            for record in islice(waiting, most - len(pending))
        ]
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
