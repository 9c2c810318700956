"""Class-wise deltas in a safetensors file, written and read a few at a time: 10,575 of 112x112 are 1.6 GB."""

from __future__ import annotations

import json
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import sha256
from math import prod
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ue_ray.errors import UserError
from ue_ray.storage.filesystem import open_store, read_range

CHUNK_BYTES = 64 << 20
"""Written, read and verified at a time (or one delta, if it alone is larger)."""

KEPT_CHUNKS = 4
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
    """What ``write_deltas`` wrote, a chunk at a time: the few that were used last are kept.

    ``chunks``: their SHA-256s; asking for a delta in a chunk that has another raises UserError. None: they are not
    compared. Raises ValueError for a file that is not of this kind.
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
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def __getitem__(self, rows: Tensor) -> Tensor:
        deltas = torch.empty(len(rows), *self.shape[1:])
        size = _chunk_rows(self.shape)
        for number in (rows // size).unique().tolist():
            places = torch.nonzero(rows // size == number).flatten()
            deltas[places] = torch.from_numpy(self._chunk(number)[(rows[places] - number * size).numpy()])
        return deltas

    def _chunk(self, number: int) -> np.ndarray:
        if number not in self._kept:
            if len(self._kept) == KEPT_CHUNKS:
                self._kept.popitem(last=False)
            self._kept[number] = self._read(number)
        self._kept.move_to_end(number)
        return self._kept[number]

    def _read(self, number: int) -> np.ndarray:
        size, row = _chunk_rows(self.shape), 4 * prod(self.shape[1:])
        count = min(size, self.shape[0] - number * size)
        data = read_range(self.uri, self.start + number * size * row, count * row)
        if self.chunks is not None and sha256(data).hexdigest() != self.chunks[number]:
            raise UserError(f"{self.uri} is damaged: its deltas from class {number * size} on are others")
        return np.frombuffer(data, "<f4").reshape(count, *self.shape[1:])


def _chunk_rows(shape: Sequence[int]) -> int:
    return max(1, CHUNK_BYTES // max(1, 4 * prod(shape[1:])))
