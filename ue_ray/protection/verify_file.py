"""Whether one recorded file of an output is what its record says, and its images what they were made of."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ue_ray.errors import one_line
from ue_ray.images.codec import MAX_PIXELS, ImageError, decode
from ue_ray.noise.budget import Budget
from ue_ray.protection.partial import Partial, rows_left_out
from ue_ray.protection.shard import GRAIN
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs.listing import Source, key_hash
from ue_ray.storage.inputs.samples import Handling, Rejected, Sample, decode_rows
from ue_ray.storage.outputs.formats import format_of
from ue_ray.storage.outputs.formats.base import Entry
from ue_ray.storage.outputs.records import fetched
from ue_ray.storage.outputs.shards import FileRecord

_GRAIN_BYTES = 32 << 20  # encoded images held at a time (or one image, if it alone has more)
_OUR_ID = re.compile(r"[0-9a-f]{32}")
_NOT_ITS_FORMAT = (pa.ArrowException, tarfile.TarError, ValueError, KeyError, TypeError)


def digests(names: Iterable[str]) -> np.ndarray:
    """Each name as 16 bytes, "S16": a sample_id of ours to the letter, a hash of anything else."""
    return np.array(
        [bytes.fromhex(name) if _OUR_ID.fullmatch(name) else key_hash(name) for name in names],
        dtype="S16",
    )


def among(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Whether each of ``wanted`` is in ``known``, which is sorted."""
    if not len(known):
        return np.zeros(len(wanted), bool)
    return known[np.minimum(np.searchsorted(known, wanted), len(known) - 1)] == wanted


@dataclass(frozen=True)
class Originals:
    """The input of an output, by sample_id: ``digests``, sorted, and the row of ``table`` that each belongs to.

    ``apart``: which rows of the table are left out, bool [n]; ``left_out``: how many the input has that are, in all.
    """

    source: Source
    class_names: list[str]
    fingerprint: str
    table: pa.Table
    digests: np.ndarray
    rows: np.ndarray
    apart: np.ndarray
    left_out: int

    @classmethod
    def of(cls, source: Source, dropped: Sequence[str] = (), partial: Partial | None = None) -> Originals:
        """``dropped``: classes that were none; ``partial``: which of the others are protected. Raises UserError if
        ``source`` cannot be listed."""
        listing = source.list()
        batches = listing.table.select(["sample_id"]).to_batches(max_chunksize=65_536)
        found = np.concatenate([digests(batch["sample_id"].to_pylist()) for batch in batches])
        order = np.argsort(found)
        kept = listing.without(dropped) if dropped else listing
        apart = rows_left_out(partial, kept.class_names, kept.labels())
        return cls(
            source=source,
            class_names=kept.class_names,
            fingerprint=listing.fingerprint(),
            table=kept.table,
            digests=found[order],
            rows=order,
            apart=apart,
            left_out=listing.left_out + int(np.count_nonzero(apart)),
        )

    def find(self, sample_ids: list[str]) -> np.ndarray:
        """The row of each sample, int64, -1 where the input has none."""
        wanted = digests(sample_ids)
        places = np.minimum(np.searchsorted(self.digests, wanted), len(self.digests) - 1)
        return np.where(self.digests[places] == wanted, self.rows[places], -1)

    def missing(self, ids: np.ndarray) -> list[str]:
        """The keys of the samples that are not among these digests, which are sorted, and should be."""
        rows = self.rows[~among(ids, self.digests) & ~self.apart[self.rows]]
        return self.table["key"].take(rows).to_pylist()

    def here(self) -> Originals:
        return self


class Input(Protocol):
    """What verification knows of an output's input, which need not be held in this process."""

    @property
    def class_names(self) -> list[str]: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def left_out(self) -> int: ...

    def missing(self, ids: np.ndarray) -> list[str]: ...

    def here(self) -> Originals:
        """All of it, in this process."""
        ...


@dataclass
class FileCheck:
    """What reading one recorded file found. ``faults``: one line each, naming the file."""

    name: str
    faults: list[str] = field(default_factory=list)
    ids: np.ndarray = field(default_factory=lambda: digests([]))
    """Digests of the sample_ids in it."""
    others: np.ndarray | None = None
    """Digests of the names of the files it refers to; None where it could not be read."""
    whole: bool = False
    """Every sample that it should hold was seen."""
    reasons: Counter[str] = field(default_factory=Counter)
    passed: int = 0
    """Images of classes that are not protected."""
    largest_change: float = 0.0
    """Of a pixel of an image beside its original, in [0, 1] units."""


@dataclass(frozen=True)
class FileChecker:
    """Checks one recorded file of the output at ``uri``; with ``input``, its images beside their originals.

    ``budget`` None: changes are measured, not judged. ``max_pixels`` is what the output was made with. ``protects``:
    whether each class is protected, all where it is empty; images of the others are unchanged or, where ``leaves_out``
    says so, not there.
    """

    uri: str
    input: Input | None = None
    budget: Budget | None = None
    max_pixels: int = MAX_PIXELS
    protects: Sequence[bool] = ()
    leaves_out: bool = False

    def __call__(self, record: FileRecord) -> FileCheck:
        """Raises RunError if the output or the input as a whole cannot be reached."""
        check = FileCheck(record.name)
        try:
            with fetched(open_store(self.uri), record.name) as (path, size, sha256):
                if size != record.bytes:
                    check.faults.append(f"{record.name}: has {size:,} bytes, the manifest records {record.bytes:,}")
                elif sha256 != record.sha256:
                    check.faults.append(f"{record.name}: sha256 differs from the manifest")
                else:
                    self._contents(check, path, record.rows)
        except FileNotFoundError:
            check.faults.append(f"{record.name}: missing")
        except (OSError, *_NOT_ITS_FORMAT) as error:
            check.faults.append(f"{record.name}: cannot be read: {type(error).__name__}: {one_line(error)}")
        return check

    def _contents(self, check: FileCheck, path: str, rows: int) -> None:
        format = format_of(check.name)
        originals = self.input.here() if self.input else None
        seen: list[str] = []
        damaged: list[str] = []
        if format is None:
            check.others = digests([])
            self._rejected(check, path, originals, seen)
        else:
            reader = format.reader(self.uri)
            check.others = digests(reader.others(path))
            for entries in _groups(reader.read(path), damaged):
                seen += [entry.sample_id for entry in entries]
                self._images(check, entries, originals)
        check.faults += damaged
        if len(seen) + len(damaged) < rows or len(seen) > rows:  # what is damaged need not be a sample
            check.faults.append(f"{check.name}: holds {len(seen):,} samples, the manifest records {rows:,}")
        check.ids, check.whole = digests(seen), len(seen) == rows

    def _rejected(self, check: FileCheck, path: str, originals: Originals | None, seen: list[str]) -> None:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(4096):
                rejected = batch.to_pylist()
                ids = [row["sample_id"] for row in rejected]
                seen += ids
                check.reasons.update(row["reason"] for row in rejected)
                if originals is None:
                    continue
                for row, place in zip(rejected, originals.find(ids).tolist(), strict=True):
                    if place < 0 or originals.table["key"][place].as_py() != row["key"]:
                        check.faults.append(f"{check.name}: {row['key']!r}: is not in the input")

    def _images(self, check: FileCheck, entries: list[Entry], originals: Originals | None) -> None:
        before: Iterable[Sample | Rejected | None] = [None] * len(entries)
        if originals is not None:
            places = originals.find([entry.sample_id for entry in entries])
            strangers = [entry for entry, place in zip(entries, places, strict=True) if place < 0]
            check.faults += [f"{check.name}: {entry.key!r}: is not in the input" for entry in strangers]
            entries = [entry for entry, place in zip(entries, places, strict=True) if place >= 0]
            rows = originals.table.take(places[places >= 0])
            before = decode_rows(originals.source, rows, Handling(max_pixels=self.max_pixels))
        for entry, original in zip(entries, before, strict=True):
            fault = ""
            if not self._protects(entry.label):
                check.passed += 1
                if self.leaves_out:
                    fault = "is of a class that is to be left out"
            try:
                # In this process: the digest says that these bytes are of our own making.
                image = decode(entry.image, self.max_pixels).rgb
            except ImageError as error:
                fault = f"is no image: {error}"
            else:
                if isinstance(original, Sample):
                    largest, changed = self._beside(entry, image, original)
                    fault = fault or changed
                    check.largest_change = max(check.largest_change, largest)
                elif original is not None:
                    fault = f"its original cannot be read: {original.reason}"
            if fault:
                check.faults.append(f"{check.name}: {entry.key!r}: {fault}")

    def _beside(self, entry: Entry, image: np.ndarray, original: Sample) -> tuple[float, str]:
        """The largest change of a pixel, and what is wrong, if anything."""
        if (entry.key, entry.label) != (original.key, original.label):
            return 0.0, f"has label {entry.label}; the input has {original.key!r} with label {original.label}"
        if image.shape != original.image.shape:
            (height, width), (before_height, before_width) = image.shape[:2], original.image.shape[:2]
            return 0.0, f"is {width}x{height}, its original {before_width}x{before_height}"
        change = torch.from_numpy(image.astype(np.int16) - original.image).unsqueeze(0)
        largest = int(change.abs().max()) / 255
        if not self._protects(entry.label):
            unchanged = largest == 0 or not self.budget
            return 0.0, "" if unchanged else f"changed by {255 * largest:g}/255; its class is to pass through unchanged"
        if self.budget and not self.budget.holds(size := float(self.budget.size(change))):
            return largest, f"changed by {self.budget.size_text(size)}, the budget is {self.budget}"
        return largest, ""

    def _protects(self, label: int) -> bool:
        return not 0 <= label < len(self.protects) or self.protects[label]


def _groups(entries: Iterator[Entry | str], damaged: list[str]) -> Iterator[list[Entry]]:
    """The entries, a bounded number of bytes at a time; what comes as a fault goes to ``damaged``."""
    group: list[Entry] = []
    held = 0
    for entry in entries:
        if isinstance(entry, str):
            damaged.append(entry)
            continue
        group.append(entry)
        held += len(entry.image)
        if len(group) >= GRAIN or held >= _GRAIN_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group
