"""Reads of a worker's saved table of sample-wise deltas what another worker needs of it."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ue_ray.noise.delta_file import CHUNK_BYTES
from ue_ray.storage.filesystem import read_range

KEY_BYTES = 16
GAP_BYTES = 1 << 20  # read through sooner than asked for anew


def saved_deltas(uri: str, wanted: Collection[bytes] | None = None) -> Iterator[tuple[list[bytes], Tensor]]:
    """Yields the keys and deltas, int8 [n,3,s,s], of the samples in ``wanted`` (all, where it is None) that the file at
    ``uri`` has (``SampleTable.tensors`` as safetensors). Holds a chunk at a time, and reads little beside."""
    (length,) = struct.unpack("<Q", read_range(uri, 0, 8))
    header = json.loads(read_range(uri, 8, length))
    shape = header["sample_deltas"]["shape"]
    first_key, first_delta = (8 + length + header[name]["data_offsets"][0] for name in ("sample_keys", "sample_deltas"))
    data = read_range(uri, first_key, KEY_BYTES * shape[0]) if shape[0] else b""
    keys = [data[start : start + KEY_BYTES] for start in range(0, len(data), KEY_BYTES)]
    size = int(np.prod(shape[1:]))
    for run in _runs([row for row, key in enumerate(keys) if wanted is None or key in wanted], size):
        start, stop = run[0], run[-1] + 1
        deltas = np.frombuffer(read_range(uri, first_delta + start * size, (stop - start) * size), np.int8)
        rows = np.array(run) - start
        yield [keys[row] for row in run], torch.from_numpy(deltas.reshape(-1, *shape[1:])[rows])


def _runs(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Cuts ascending ``rows`` of ``size`` bytes each into those that are read at once."""
    begun = 0
    for at in range(1, len(rows) + 1):
        if (
            at == len(rows)
            or (rows[at] - rows[at - 1] - 1) * size > GAP_BYTES
            or (rows[at] - rows[begun] + 1) * size > CHUNK_BYTES
        ):
            yield rows[begun:at]
            begun = at
