"""Shards: the unit of work, of writing and of retry. A shard's files are named by its index and are whole or absent."""

import hashlib
import json
import os
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ue_ray.storage.filesystem import resolve, staged

_FLUSH_ROWS = 256
_FLUSH_BYTES = 8 << 20

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_REJECTED = pa.schema([("sample_id", pa.string()), ("key", pa.string()), ("reason", pa.string())])


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
    """What became of one shard: counts, files, and how many samples were rejected for each reason."""

    index: int
    protected: int
    rejected: int
    files: tuple[FileRecord, ...]
    reasons: dict[str, int]

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ShardRecord":
        fields = json.loads(text)
        fields["files"] = tuple(FileRecord(**file) for file in fields["files"])
        return cls(**fields)


class ShardWriter:
    """Writes one shard below ``root_uri``: ``data/part-00000.parquet`` and ``rejected/part-00000.parquet``.

    Rows go to disk in small row groups, so memory is bounded whatever the shard's size. Nothing is visible before
    ``close``; leaving the ``with`` block closes the shard, leaving it by an exception drops it. The same samples in
    the same order give the same bytes, so that writing a shard again changes nothing.
    """

    def __init__(self, root_uri: str, index: int, class_names: list[str]) -> None:
        self._filesystem, self._root = resolve(root_uri)
        self._index = index
        self._schema = _data_schema(class_names)
        self._data_name = f"data/part-{index:05d}.parquet"
        self._rejected_name = f"rejected/part-{index:05d}.parquet"
        self._stack = ExitStack()
        self._staging: str | None = None
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[dict] = []
        self._pending_bytes = 0
        self._protected = 0
        self._rejected: list[dict] = []
        self._record: ShardRecord | None = None

    def add_protected(self, sample_id: str, png: bytes, path: str, label: int) -> None:
        """Add one protected image; ``path`` is shown to readers as the file it came from."""
        self._pending.append({"sample_id": sample_id, "image": {"bytes": png, "path": path}, "label": label})
        self._pending_bytes += len(png)
        self._protected += 1
        if len(self._pending) >= _FLUSH_ROWS or self._pending_bytes >= _FLUSH_BYTES:
            self._flush()

    def add_rejected(self, sample_id: str, key: str, reason: str) -> None:
        """Add one rejected sample and the one-line reason."""
        self._rejected.append({"sample_id": sample_id, "key": key, "reason": reason})

    def close(self) -> ShardRecord:
        """Publish the files and return the record; a second call returns the same record."""
        if self._record is None:
            files = [self._publish_data(), self._publish_rejected()]
            self._record = ShardRecord(
                index=self._index,
                protected=self._protected,
                rejected=len(self._rejected),
                files=tuple(file for file in files if file),
                reasons=dict(sorted(Counter(row["reason"] for row in self._rejected).items())),
            )
        return self._record

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:
            self._writer.close()
            self._stack.__exit__(kind, error, traceback)

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            self._staging = self._stack.enter_context(staged(self._filesystem, f"{self._root}/{self._data_name}"))
            self._writer = pq.ParquetWriter(
                self._staging,
                self._schema,
                # PNG does not compress further; ids and labels do.
                compression={"sample_id": "zstd", "image.bytes": "none", "image.path": "zstd", "label": "zstd"},
                use_dictionary=["label"],
                write_statistics=["label"],
            )
        self._writer.write_table(pa.Table.from_pylist(self._pending, self._schema))
        self._pending, self._pending_bytes = [], 0

    def _publish_data(self) -> FileRecord | None:
        self._flush()
        if self._writer is None or self._staging is None:
            self._remove_stale(self._data_name)
            return None
        self._writer.close()
        record = _file_record(self._data_name, self._protected, self._staging)
        self._stack.close()
        return record

    def _publish_rejected(self) -> FileRecord | None:
        if not self._rejected:
            self._remove_stale(self._rejected_name)
            return None
        with staged(self._filesystem, f"{self._root}/{self._rejected_name}") as staging:
            pq.write_table(pa.Table.from_pylist(self._rejected, _REJECTED), staging, compression="zstd")
            return _file_record(self._rejected_name, len(self._rejected), staging)

    def _remove_stale(self, name: str) -> None:
        """A former attempt at this shard may have ended otherwise; its file must not outlive it."""
        with suppress(FileNotFoundError):
            self._filesystem.delete_file(f"{self._root}/{name}")


def _data_schema(class_names: list[str]) -> pa.Schema:
    """The columns, with the Hugging Face features that make ``datasets`` show images and class names."""
    features = {
        "sample_id": {"dtype": "string", "_type": "Value"},
        "image": {"_type": "Image"},
        "label": {"names": class_names, "_type": "ClassLabel"},
    }
    return pa.schema(
        [("sample_id", pa.string()), ("image", _IMAGE), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


def _file_record(name: str, rows: int, local: str) -> FileRecord:
    with open(local, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(name=name, rows=rows, bytes=os.path.getsize(local), sha256=digest)
