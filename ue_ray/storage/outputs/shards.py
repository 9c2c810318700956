"""Shards: the unit of work, of writing and of retry. A shard's files are named by its index and are whole or absent."""

import hashlib
import json
import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ue_ray.images.quality import Likeness
from ue_ray.storage.inputs.listing import NO_LABEL
from ue_ray.storage.outputs.formats import FORMATS
from ue_ray.storage.outputs.formats.base import Entry, Place, Writer
from ue_ray.storage.outputs.layout import REJECTED_PART
from ue_ray.storage.outputs.names import NO_HASHES, Names

_REJECTED = pa.schema([("sample_id", pa.string()), ("key", pa.string()), ("reason", pa.string())])
_UNMEASURED = Likeness()


def plan_shards(nbytes: np.ndarray, max_rows: int = 1024, max_bytes: int = 64 << 20) -> list[tuple[int, int]]:
    """Cut rows of the given sizes into contiguous ``(start, stop)`` ranges, in order, covering each row once.

    A range has at most ``max_rows`` rows and ``max_bytes`` bytes; a single row above ``max_bytes`` stands alone.
    The same sizes give the same plan.
    """
    ends = np.cumsum(nbytes, dtype=np.int64)
    plan, start, done = [], 0, 0
    while start < len(ends):
        fitting = int(np.searchsorted(ends, done + max_bytes, side="right"))
        stop = min(max(fitting, start + 1), start + max_rows, len(ends))
        plan.append((start, stop))
        start, done = stop, int(ends[stop - 1])
    return plan


@dataclass(frozen=True)
class FileRecord:
    """One written file: ``name`` relative to the output, with ``/``; its rows, size in bytes and SHA-256 (hex)."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardRecord:
    """What became of one shard: counts, files, and how many samples were rejected for each reason.

    ``passed``: images that were written as they are; ``left_out``: samples of which nothing was.
    """

    index: int
    protected: int
    rejected: int
    files: tuple[FileRecord, ...]
    reasons: dict[str, int]
    passed: int = 0
    left_out: int = 0

    @property
    def samples(self) -> int:
        return self.protected + self.passed + self.rejected + self.left_out

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ShardRecord":
        fields = json.loads(text)
        fields["files"] = tuple(FileRecord(**file) for file in fields["files"])
        return cls(**fields)


class ShardWriter:
    """Writes one shard below ``root_uri``: its images in one of FORMATS, and ``rejected/part-00000.parquet``.

    ``extension`` is that of the images' encoding, as in ``.png``; formats that name images use it, and what
    ``shared_names`` found of the listing. Memory is bounded whatever the shard's size. The files that the record names
    become visible at ``close``, each whole; leaving the ``with`` block closes the shard, leaving it by an exception
    drops it. The same samples in the same order give the same bytes, so that writing a shard again changes nothing.

    ``renamed``: the names of images, by key, of which more than the extension is not the key's; ``extensions``: how
    many have another, as in ``.jpg -> .png``.
    """

    def __init__(
        self,
        root_uri: str,
        index: int,
        class_names: list[str],
        format: str = "parquet",
        extension: str = ".png",
        shared: np.ndarray = NO_HASHES,
    ) -> None:
        self._format = FORMATS[format]
        names = Names(class_names, extension, bool(self._format.dots), shared)
        self._place = Place(root_uri, names, [pattern.format(index) for pattern in self._format.beside])
        self.index = index
        self.renamed: dict[str, str] = {}
        self.extensions = Counter[str]()
        self._data_name = self._format.pattern.format(index)
        self._rejected_name = REJECTED_PART.format(index)
        self._stack = ExitStack()
        self._data: Writer | None = None
        self._protected = self._passed = self._left_out = 0
        self._rejected: list[dict] = []
        self._record: ShardRecord | None = None

    def add_protected(
        self, sample_id: str, image: bytes, key: str, label: int, likeness: Likeness = _UNMEASURED
    ) -> None:
        """Add one protected image, encoded; ``key`` is shown to readers as the file it came from, ``likeness`` how
        much the image is like its original."""
        self._add(Entry(sample_id, key, label, image), likeness)
        self._protected += 1

    def add_passed(self, sample_id: str, image: bytes, key: str, label: int, likeness: Likeness = _UNMEASURED) -> None:
        """Add one image that is passed on without noise, as ``add_protected`` does."""
        self._add(Entry(sample_id, key, label, image), likeness)
        self._passed += 1

    def leave_out(self, count: int) -> None:
        """Count samples of which nothing is written."""
        self._left_out += count

    def _add(self, entry: Entry, likeness: Likeness) -> None:
        if self._data is None:
            staging = self._stack.enter_context(self._place.staged(self._data_name))
            self._data = self._format.writer(staging, self._place)
            self._stack.callback(self._data.discard)
        self._data.add(entry, likeness)
        if self._format.dots is not None:
            self._note_name(entry.sample_id, entry.key, entry.label)

    def add_rejected(self, sample_id: str, key: str, reason: str, label: int = NO_LABEL) -> None:
        """Add one rejected sample and the one-line reason. A sample with a ``label`` may have been protected in a
        former attempt at this shard; what that left is removed."""
        self._rejected.append({"sample_id": sample_id, "key": key, "reason": reason})
        if label != NO_LABEL:
            self._format.writer.forget(self._place, sample_id, key, label)

    def close(self) -> ShardRecord:
        """Publish the files and return the record; a second call returns the same record."""
        if self._record is None:
            files = [self._publish_data(), self._publish_rejected()]
            self._record = ShardRecord(
                index=self.index,
                protected=self._protected,
                rejected=len(self._rejected),
                files=tuple(file for file in files if file),
                reasons=dict(sorted(Counter(row["reason"] for row in self._rejected).items())),
                passed=self._passed,
                left_out=self._left_out,
            )
        return self._record

    def examples(self) -> dict[str, str]:
        """The key of one rejected sample, the last, by reason."""
        return {row["reason"]: row["key"] for row in self._rejected}

    def _note_name(self, sample_id: str, key: str, label: int) -> None:
        names = self._place.names
        name = names.name(sample_id, key, label)
        if names.is_changed(name, key, label):
            self.renamed[key] = name
        if replaced := names.replaced(key):
            self.extensions[f"{replaced} -> {names.extension}"] += 1

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            with self._stack:  # a shard that cannot be closed is dropped
                self.close()
        else:
            self._stack.__exit__(kind, error, traceback)

    def _publish_data(self) -> FileRecord | None:
        if self._data is None:
            for name in (self._data_name, *self._place.beside):  # of a former attempt that ended otherwise
                self._place.remove(name)
            return None
        self._data.close()
        record = _file_record(self._data_name, self._protected + self._passed, self._data.staging)
        self._stack.close()
        return record

    def _publish_rejected(self) -> FileRecord | None:
        if not self._rejected:
            self._place.remove(self._rejected_name)
            return None
        with self._place.staged(self._rejected_name) as staging:
            pq.write_table(pa.Table.from_pylist(self._rejected, _REJECTED), staging, compression="zstd")
            return _file_record(self._rejected_name, len(self._rejected), staging)


def _file_record(name: str, rows: int, local: str) -> FileRecord:
    size, sha256 = measured(local)
    return FileRecord(name=name, rows=rows, bytes=size, sha256=sha256)


def measured(local: str) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hex) of a local file."""
    with open(local, "rb") as file:
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
