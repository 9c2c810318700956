"""What an input holds: one Arrow row a sample, in a stable order, with a stable id. Nothing is decoded here."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.errors import ReadFailure, UserError

NO_LABEL = -1
"""The label of a file that belongs to no class; its sample ends as rejected."""


CHUNK_ROWS = 16_384
"""So many rows at a time pass through Python objects; a whole listing exists in Arrow's buffers only."""


def key_hash(key: str | bytes, size: int = 16) -> bytes:
    """``size`` bytes that stand for a key or a name, the same everywhere: the one hash of them in this package."""
    return hashlib.blake2b(key.encode() if isinstance(key, str) else key, digest_size=size).digest()


def sample_id(key: str | bytes) -> str:
    """128-bit hex id of a sample: a hash of its full key relative to the input root, never of a basename."""
    return key_hash(key).hex()


def sample_ids(keys: Iterable[str | bytes]) -> pa.Array:
    """``sample_id`` of each key (as text, or as its bytes in UTF-8), as an Arrow string array."""
    return pa.array((sample_id(key) for key in keys), pa.string())


def ids_of(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """``sample_id`` of each key of an Arrow column, text or bytes."""
    return by_chunks(keys, lambda chunk: sample_ids(chunk.to_pylist()))


def by_chunks(column: pa.ChunkedArray, function: Callable[[pa.Array], pa.Array]) -> pa.ChunkedArray:
    """``function`` of CHUNK_ROWS rows at a time, to strings: for what has to pass through Python objects."""
    results = [
        function(chunk.slice(start, CHUNK_ROWS))
        for chunk in column.chunks
        for start in range(0, len(chunk), CHUNK_ROWS)
    ]
    return in_one(pa.chunked_array(results, pa.string()))


def repeated(column: pa.ChunkedArray) -> str | None:
    """Some string that appears twice in ``column``; None where there is none. By sorting: a hash table takes more."""
    column = in_one(column)
    order = pc.sort_indices(column)
    for start in range(0, len(order) - 1, CHUNK_ROWS):
        some = column.take(order.slice(start, CHUNK_ROWS + 1))
        row = pc.index(pc.equal(some.slice(1), some.slice(0, len(some) - 1)), True).as_py()
        if row >= 0:
            return str(some[row])
    return None


def unseen_classes(labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """The classes that no row has: names alone, of a schema or between two numbers. ``labels``: int64 [n]."""
    seen = set(np.unique(labels).tolist())
    return [name for number, name in enumerate(class_names) if number not in seen]


def links_left(count: int, example: str) -> str:
    """Names links that were not followed: a part of a message."""
    what = "1 link is" if count == 1 else f"{count:,} links are"
    return f"{what} not followed, such as {example}: outside the input (--follow-links), or a loop"


def in_one(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """``column`` in one chunk (more above 2 GiB): taking rows from many chunks costs a copy of them all each time."""
    return pa.table([column], ["column"]).combine_chunks()["column"]


@dataclass(frozen=True)
class Listing:
    """The samples of one input.

    ``table`` has at least ``sample_id: string`` (unique), ``key: string``, ``label: int64`` (an index into
    ``class_names``, or -1 for none) and ``nbytes: int64`` (the sample's size, for planning; an estimate where the
    exact size would cost reading the images), and the columns by which its source finds the sample again.
    ``own_numbers``: the labels are numbers of the input's own, not places among sorted names. ``note``: what the user
    should know of it, in one line. ``left_out``: how many more samples the input holds, which a selection left out.
    """

    table: pa.Table
    class_names: list[str]
    own_numbers: bool = False
    note: str = ""
    left_out: int = 0

    def __len__(self) -> int:
        return self.table.num_rows

    def labels(self) -> np.ndarray:
        """int64 ``[len]``, -1 where a sample has no class."""
        return self.table["label"].to_numpy()

    def nbytes(self) -> np.ndarray:
        """int64 ``[len]``."""
        return self.table["nbytes"].to_numpy()

    def fingerprint(self) -> str:
        """Hex digest of ids, labels and sizes, in order, and of the class names: equal for equal inputs anywhere."""
        lengths, text = hashlib.blake2b(), hashlib.blake2b()  # of the ids, apart: so chunks leave no trace
        for chunk in self.table["sample_id"].cast(pa.large_string()).chunks:
            _, offsets, data = chunk.buffers()
            ends = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            lengths.update(np.diff(ends).astype("<i8").tobytes())
            if data is not None and len(ends):
                text.update(memoryview(data)[ends[0] : ends[-1]])
        digest = hashlib.blake2b(lengths.digest() + text.digest(), digest_size=16)
        for name in ("label", "nbytes"):
            for chunk in self.table[name].chunks:
                digest.update(chunk.to_numpy().astype("<i8").tobytes())
        digest.update(json.dumps(self.class_names).encode())
        return digest.hexdigest()

    def without(self, dropped: Collection[str]) -> "Listing":
        """The same rows, those of the classes called ``dropped`` without a label.

        The names of the others stay, in their order; so do their numbers, and with them all names, where the input has
        ``own_numbers``.
        """
        gone = np.array([name in dropped for name in self.class_names], bool)
        numbers = np.arange(len(gone)) if self.own_numbers else np.cumsum(~gone) - 1
        labels = np.append(np.where(gone, NO_LABEL, numbers), NO_LABEL)[self.labels()]  # NO_LABEL is the last
        names = self.class_names if self.own_numbers else [name for name in self.class_names if name not in dropped]
        place = self.table.column_names.index("label")
        return replace(
            self, table=self.table.set_column(place, "label", pa.array(labels, pa.int64())), class_names=names
        )

    def check(self, where: str) -> "Listing":
        """Return self if it can be protected; else raise UserError, naming ``where``.

        Refused: no samples, repeated ids, classes of one name, labels outside ``class_names``, no class with
        samples.
        """
        if len(set(self.class_names)) < len(self.class_names):
            name, count = Counter(self.class_names).most_common(1)[0]
            raise UserError(f"{where}: {count} classes are called {name!r}; give each a name of its own")
        if not len(self):
            raise UserError(f"{where}: holds no samples")
        labels = self.labels()
        wrong = np.flatnonzero((labels < NO_LABEL) | (labels >= len(self.class_names)))
        if len(wrong):
            row = int(wrong[0])
            raise UserError(
                f"{where}: label {labels[row]} of {self.table['key'][row].as_py()} is out of range: "
                f"{len(self.class_names)} classes, so 0 to {len(self.class_names) - 1}"
            )
        if (twice := repeated(self.table["sample_id"])) is not None:
            raise UserError(f"{where}: sample_id {twice} appears more than once; ids must be unique")
        if not (labels != NO_LABEL).any():
            raise UserError(f"{where}: holds samples of no class")
        return self


class Source(Protocol):
    """One input: picklable (a URI and names, no open files), so that workers can read what the driver listed."""

    @property
    def uri(self) -> str: ...

    @property
    def split(self) -> str | None:
        """The one of ``splits`` that is read; None for everything."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits found at the place that was asked for, train first."""
        ...

    def list(self) -> Listing:
        """List every sample, checked. Raises UserError for an input that cannot be protected."""
        ...

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        """Yield the encoded image of each of ``rows`` (any slice or take of the listing's table), in their order.

        Raises nothing for an unreadable sample: it yields a ReadFailure and goes on. Raises OutOfReach if the input
        as a whole cannot be read (gone, no network, credentials expired): that is no sample's fault.
        """
        ...
