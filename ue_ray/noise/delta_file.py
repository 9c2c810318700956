"""Class-wise deltas in a safetensors file, written and read a few at a time: 10,575 of 112x112 are 1.6 GB."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain, groupby, islice
from math import prod
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ue_ray.errors import UserError
from ue_ray.storage.filesystem import open_store, read_range

CHUNK_BYTES = 64 << 20
"""Written, read and verified at a time (or one delta, if it alone is larger)."""

HELD_BYTES = 384 << 20
"""Of the deltas that a ``DeltaFile`` keeps (or one, if it alone is larger)."""

_LONGEST_HEADER = 1 << 20


class DeltaRows(Protocol):
    """float32 [K,3,s,s] that need not be in this process: indexing with int64 [k] on the CPU gives [k,3,s,s]."""

    @property
    def shape(self) -> Sequence[int]: ...

    def __getitem__(self, rows: Tensor) -> Tensor: ...


def whole(deltas: DeltaRows) -> Tensor:
    """All of them at once, where they fit."""
    return deltas[torch.arange(deltas.shape[0])]


def in_chunks(shape: Sequence[int]) -> Iterator[Tensor]:
    """The rows of a table of this shape, a chunk's at a time: int64 [k]."""
    for rows in torch.arange(shape[0]).split(_chunk_rows(shape)):
        if len(rows):
            yield rows


def write_deltas(uri: str, deltas: DeltaRows) -> tuple[str, list[str]]:
    """Write ``deltas`` as the tensor ``deltas`` of a safetensors file; returns its SHA-256 and those of its chunks.

    This process holds a chunk at a time, beside what ``deltas`` holds.
    """
    shape = list(deltas.shape)
    header = json.dumps(
        {"deltas": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * prod(shape)]}}, separators=(",", ":")
    ).encode()
    header += b" " * (-len(header) % 8)
    head = struct.pack("<Q", len(header)) + header
    whole, chunks = sha256(head), []
    with open_store(uri).staged() as local, open(local, "wb") as file:
        file.write(head)
        for rows in in_chunks(shape):
            data = deltas[rows].cpu().contiguous().numpy().astype("<f4", copy=False).data.cast("B")
            file.write(data)
            whole.update(data)
            chunks.append(sha256(data).hexdigest())
    return whole.hexdigest(), chunks


class DeltaFile:
    """What ``write_deltas`` wrote, read a chunk at a time. The deltas that were used last are kept, HELD_BYTES of them.

    Classes that come in random order would have a chunk read for each of them. ``expect`` says which are to come: then
    the file is swept from its beginning to its end for as many of them as are kept, and each is read once.

    ``chunks``: their SHA-256s; asking for a delta in a chunk that has another raises UserError. A chunk is compared
    when it is first used, and is then read whole. None: they are not compared. Raises ValueError for a file that is not
    of this kind.
    """

    def __init__(self, uri: str, chunks: Sequence[str] | None = None) -> None:
        self.uri = uri
        self.chunks = chunks
        (length,) = struct.unpack("<Q", read_range(uri, 0, 8))
        if length > _LONGEST_HEADER:
            raise ValueError("no header of a safetensors file")
        self.start = 8 + length
        tensor = json.loads(read_range(uri, 8, length))["deltas"]
        self.shape: list[int] = [int(size) for size in tensor["shape"]]
        nbytes = 4 * prod(self.shape)
        if tensor["dtype"] != "F32" or len(self.shape) != 4 or tensor["data_offsets"] != [0, nbytes]:
            raise ValueError("no table of class-wise deltas")
        if chunks is not None and len(chunks) != len(list(in_chunks(self.shape))):
            raise ValueError("its chunks are not those that were recorded")
        if nbytes:
            read_range(uri, self.start + nbytes - 1, 1)  # a file that was cut is found here, not halfway through
        self._held: dict[int, np.ndarray] = {}  # row -> delta, float32 [3,s,s]
        self._expected: list[int] = []
        self._compared: set[int] = set()

    def expect(self, rows: np.ndarray) -> None:
        """Says which rows, int64 [n], are asked for next, and in which order. Some of them may then be left out."""
        self._expected = rows.tolist()

    def __getitem__(self, rows: Tensor) -> Tensor:
        if len(rows) > self._most:
            return torch.cat([self[part] for part in rows.split(self._most)])
        wanted = rows.tolist()
        if not self._held.keys() >= set(wanted):
            self._hold(wanted)
        deltas = torch.empty(len(wanted), *self.shape[1:])
        for delta, row in zip(deltas, wanted, strict=True):
            delta.copy_(torch.from_numpy(self._held[row]))
        return deltas

    @property
    def _most(self) -> int:
        """How many rows are held."""
        return max(1, HELD_BYTES // max(1, 4 * prod(self.shape[1:])))

    def _hold(self, wanted: list[int]) -> None:
        """Holds what is ``wanted``, then what comes next, what it held (the latest first), and what lies beside."""
        size = _chunk_rows(self.shape)
        missing = [row for row in wanted if row not in self._held]
        coming: list[int] = []
        if missing[0] in self._expected:
            coming = self._expected = self._expected[self._expected.index(missing[0]) :]
        beside = (row for chunk in {row // size for row in missing} for row in self._chunk(chunk))
        rows = set(islice(dict.fromkeys(chain(wanted, coming, reversed(self._held), beside)), self._most))
        self._held = {row: delta for row, delta in self._held.items() if row in rows}
        for chunk, some in groupby(sorted(rows - self._held.keys()), lambda row: row // size):
            self._held |= self._read(chunk, list(some))

    def _read(self, number: int, rows: list[int]) -> dict[int, np.ndarray]:
        """Reads ``rows`` of a chunk and what lies between them; when it is first used, the whole chunk."""
        digest = self.chunks[number] if self.chunks is not None and number not in self._compared else None
        whole = self._chunk(number)
        first, last = (whole[0], whole[-1]) if digest else (rows[0], rows[-1])
        width = 4 * prod(self.shape[1:])
        data = read_range(self.uri, self.start + first * width, (last + 1 - first) * width)
        if digest:
            if sha256(data).hexdigest() != digest:
                raise UserError(f"{self.uri} is damaged: its deltas from class {first} on are others")
            self._compared.add(number)
        deltas = np.frombuffer(data, "<f4").reshape(-1, *self.shape[1:])
        return {row: deltas[row - first].copy() for row in rows}

    def _chunk(self, number: int) -> range:
        size = _chunk_rows(self.shape)
        return range(number * size, min((number + 1) * size, self.shape[0]))


def _chunk_rows(shape: Sequence[int]) -> int:
    return max(1, CHUNK_BYTES // max(1, 4 * prod(shape[1:])))
