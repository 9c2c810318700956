"""The ``.idx`` beside a record file: where its records begin, and what can be known of them without reading them.

A line is a key, a tab and an offset in bytes. In insightface's files the keys are 0, 1, 2 and so on: record 0 says
which keys the identities have, ``[first, stop)``; the images come before these, and each identity's record says which
keys its images have. So a file is listed by the index, record 0 and the identities' records: half a megabyte of
CASIA-WebFace's 2.7 GB.

Source: insightface's ``recognition/arcface_torch/dataset.py`` (MXFaceDataset) and its older ``image_iter.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ue_ray.errors import UserError, one_line
from ue_ray.storage.inputs.record_file import BEYOND, CUT, DAMAGED, HEADER, MAGIC, THREADS, WHOLE, Records
from ue_ray.storage.store import Store

LEAST_BYTES = 64 << 20  # a smaller file is searched, in less time than many small requests take
PROBES = 256  # images whose records are looked at before the index and the identities are believed
MOST_KEYS = 1 << 24  # identities name them as float32: above this two of them may be one

Read = Callable[[int, int], bytes]  # count bytes from start on
_IDENTITY = np.dtype(
    [
        ("magic", "<u4"), ("length", "<u4"), ("flag", "<u4"), ("label", "<f4"), ("numbers", "<u8", 2),
        ("first", "<f4"), ("stop", "<f4"),
    ]
)  # fmt: skip
_IMAGE = np.dtype([("magic", "<u4"), ("length", "<u4"), ("flag", "<u4"), ("label", "<f4"), ("first", "<f4")])
_FRAME = 8  # the magic number and the length


class Index(NamedTuple):
    """``name`` is the file's. ``offsets``: int64, sorted, without repetition. ``keys``: as text, of the same order."""

    name: str
    keys: pa.Array
    offsets: np.ndarray


def read_index(folder: Store, base: str, where: str) -> Index | None:
    """The index of the record file ``base`` in ``folder``; None where there is none.

    Raises UserError, naming ``where``, for one that cannot be read.
    """
    name = f"{base.rpartition('.')[0]}.idx"
    try:
        text = folder.read_if_there(name)
        if text is None:
            return None
        table = pa.csv.read_csv(
            pa.BufferReader(text),
            read_options=pa.csv.ReadOptions(column_names=["key", "offset"]),
            parse_options=pa.csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pa.csv.ConvertOptions(column_types={"key": pa.string(), "offset": pa.int64()}),
        )
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{where}: {name}: cannot be read: {one_line(error)}; expected key, tab, offset in each line"
        ) from error
    offsets, lines = np.unique(table["offset"].to_numpy(), return_index=True)
    return Index(name, pc.take(table["key"].combine_chunks(), pa.array(lines)), offsets)


def records_by_identity(read: Read, size: int, index: Index) -> Records | None:
    """All records of a large file of insightface's kind, its images unread; None where it has to be searched.

    That is so of small files, and wherever anything is not as it should be: then the search says what. Of the images
    the flags are taken to be 0, and ``image_bytes`` is the most there can be. Raises what ``read`` raises.
    """
    if size < LEAST_BYTES or not 2 <= len(index.keys) <= MOST_KEYS or index.offsets[0] != 0 or not _counts(index.keys):
        return None
    sizes = np.diff(index.offsets, append=size)
    if sizes.min() < _FRAME + HEADER.size or (owners := _owners(read, index.offsets, sizes)) is None:
        return None
    names = np.arange(len(sizes)) > len(owners)
    names[0] = True
    labels = np.zeros(len(sizes), np.float32)
    labels[~names] = owners
    if not _believed(read, index.offsets[~names], sizes[~names], owners):
        return None
    flags = np.where(names, 2, 0).astype(np.int64)
    most = np.where(names, 0, sizes - _FRAME - HEADER.size)
    return Records(index.offsets, sizes, np.full(len(sizes), WHOLE, np.int8), flags, labels, most)


def _counts(keys: pa.Array) -> bool:
    """Whether the keys are 0, 1, 2 and so on."""
    try:
        numbers = keys.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return False
    return bool((numbers == np.arange(len(numbers))).all())


def _owners(read: Read, offsets: np.ndarray, sizes: np.ndarray) -> np.ndarray | None:
    """int64: whose each image is, in order, the identities counted from 0; None where it is not said."""
    first = _identities(read(0, int(sizes[0])), 1)
    if first is None or first["stop"][0] != len(offsets) or not 1 < first["first"][0] < len(offsets):
        return None
    start = int(first["first"][0])
    if (sizes[start:] != _IDENTITY.itemsize).any():
        return None
    ranges = _identities(read(int(offsets[start]), int(sizes[start:].sum())), len(offsets) - start)
    if ranges is None:
        return None
    begins, ends = ranges["first"], ranges["stop"]
    if begins[0] != 1 or ends[-1] != first["first"][0] or (begins[1:] != ends[:-1]).any() or not (begins <= ends).all():
        return None
    return np.repeat(np.arange(len(ranges)), np.diff(np.append(begins.astype(np.int64), start)))


def _identities(data: bytes, count: int) -> np.ndarray | None:
    """The records of so many identities; None where the bytes are others."""
    if len(data) != count * _IDENTITY.itemsize:
        return None
    found = np.frombuffer(data, _IDENTITY)
    right = (found["magic"] == MAGIC) & (found["length"] == _IDENTITY.itemsize - _FRAME) & (found["flag"] == 2)
    return found if right.all() else None


def _believed(read: Read, offsets: np.ndarray, sizes: np.ndarray, owners: np.ndarray) -> bool:
    """Whether images here and there begin and end where the index has it, and belong to whom the identities say."""
    probes = np.unique(np.linspace(0, len(offsets) - 1, PROBES).astype(np.int64)).tolist()

    def is_right(image: int) -> bool:
        # Of a record that is one part, as all are but those whose image holds the magic number: others tell nothing.
        found = np.frombuffer(read(int(offsets[image]), _IMAGE.itemsize), _IMAGE)[0]
        if found["magic"] == MAGIC and found["length"] >> 29:
            return True
        ends = _FRAME + int(found["length"]) + -int(found["length"]) % 4
        label = found["first"] if found["flag"] else found["label"]
        return bool(found["magic"] == MAGIC and ends == sizes[image] and label == owners[image])

    with ThreadPoolExecutor(THREADS) as pool:
        return all(pool.map(is_right, probes))


def checked(records: Records, index: Index, size: int, where: str) -> Records:
    """``records``, and a stretch for each that the index names in a damaged place or behind the end.

    Raises UserError, naming ``where``, for an index that is not the file's.
    """
    advice = "remove it (it is not needed), or put the right one there"
    offsets = index.offsets
    places = np.searchsorted(records.starts, offsets, side="right") - 1
    known = (places >= 0) & (records.starts[places] == offsets)
    lost = ~known & (places >= 0) & (np.isin(records.states[places], (CUT, DAMAGED)) | (offsets >= size))
    if len(wrong := np.flatnonzero(~known & ~lost)):
        at = offsets[wrong[0]]
        raise UserError(
            f"{where}: {index.name} is the index of another file: no record begins at byte {at:,}; {advice}"
        )
    if count := np.count_nonzero(~np.isin(records.starts[records.states == WHOLE], offsets)):
        raise UserError(
            f"{where}: {index.name} is the index of another file, or cut: it leaves out {count:,} of the "
            f"{len(records.starts):,} records; {advice}"
        )
    if not lost.any():
        return records
    starts = np.concatenate([records.starts, offsets[lost]])
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    sizes = np.minimum(np.append(starts[1:], size), size) - np.minimum(starts, size)
    added = np.where(offsets[lost] < size, DAMAGED, BEYOND)
    states = np.concatenate([records.states, added.astype(np.int8)])[order]
    facts = (records.flags, records.labels, records.image_bytes)
    return Records(
        starts, sizes, states, *(np.append(fact, np.zeros_like(fact, shape=len(added)))[order] for fact in facts)
    )
