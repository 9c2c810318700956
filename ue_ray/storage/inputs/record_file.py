"""RecordIO, dmlc's, and MXNet's image records in it: where the records of a file are, and what is in one.

A file is records, end to end. A record is one part, or several: where its content holds the magic number at a multiple
of four bytes, the number is taken out and a new part begins. A part is the magic number, a word (its upper three bits:
0 the only part, 1 the first, 2 one in between, 3 the last; the lower 29: the length), and as many bytes, filled up to a
multiple of four. Both are little-endian. So the number stands before each part and nowhere else at a multiple of four:
a file can be searched from anywhere, without its index.

The content of an image record is a header (``<IfQQ``: flag, label, two numbers), ``flag`` labels (float32) that stand
in for the one in the header where it is not 0, and the image.

Source: dmlc-core's ``recordio.h`` and ``recordio.cc``; MXNet's ``python/mxnet/recordio.py``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

MAGIC = 0xCED7230A
HEADER = struct.Struct("<IfQQ")
MOST_BYTES = (1 << 29) - 1  # of a part

WHOLE, CUT, DAMAGED, SHORT, BEYOND = range(5)
"""What a stretch of a file is: a record; one that the file ends in; bytes that are none; too short for its labels;
behind the end."""

CHUNK_BYTES = 16 << 20  # searched at a time
THREADS = 8

_MAGIC = struct.pack("<I", MAGIC)
_WORDS = struct.Struct("<II")
_ONLY, _FIRST, _BETWEEN, _LAST = range(4)
_LABELS = 8 + HEADER.size  # where they begin in the first part
_SEEN = _LABELS + 4  # of each part, from its magic number to the first of several labels


class Records(NamedTuple):
    """The stretches of a file, in order, without gaps; arrays of one length.

    ``starts`` and ``sizes``: int64, bytes. ``states``: int8. ``flags``: int64, how many labels follow the header, and
    ``labels``: float32, the first one, both of whole records only. ``image_bytes``: int64, the size of its image.
    """

    starts: np.ndarray
    sizes: np.ndarray
    states: np.ndarray
    flags: np.ndarray
    labels: np.ndarray
    image_bytes: np.ndarray


def framed(content: bytes) -> bytes:
    """``content`` as a record. Raises ValueError for a part above MOST_BYTES."""
    ends = _aligned(content)
    starts = [0, *(end + 4 for end in ends)]
    parts = []
    for number, (start, end) in enumerate(zip(starts, [*ends, len(content)], strict=True)):
        is_last = number == len(ends)
        kind = (_ONLY if is_last else _FIRST) if number == 0 else (_LAST if is_last else _BETWEEN)
        if end - start > MOST_BYTES:
            raise ValueError(f"a record of {len(content):,} bytes: RecordIO has at most {MOST_BYTES:,}")
        parts += [_MAGIC, struct.pack("<I", kind << 29 | end - start), content[start:end]]
    return b"".join(parts) + bytes(-len(content) % 4)


def content_of(record: bytes) -> bytes:
    """The content of one whole record. Raises ValueError for other bytes."""
    content, place, kind = [], 0, _FIRST
    while kind in (_FIRST, _BETWEEN):
        if len(record) < place + 8 or record[place : place + 4] != _MAGIC:
            raise ValueError("no record")
        word = _WORDS.unpack_from(record, place)[1]
        before, kind, length = place and kind, word >> 29, word & MOST_BYTES
        if (kind in (_BETWEEN, _LAST)) != (before in (_FIRST, _BETWEEN)) or kind > _LAST:
            raise ValueError("parts of a record in another order")
        part = record[place + 8 : place + 8 + length]
        if len(part) < length:
            raise ValueError("a record that ends early")
        content.append(part)
        place += 8 + length + -length % 4
    return _MAGIC.join(content)


def labelled_image_of(record: bytes) -> tuple[float, bytes]:
    """The label of one whole record, its header's or the first of several, and its image.

    Raises ValueError for other bytes.
    """
    content = content_of(record)
    if len(content) < HEADER.size:
        raise ValueError("no image record")
    flag, label = HEADER.unpack_from(content)[:2]
    if flag:
        label = struct.unpack_from("<f", content.ljust(HEADER.size + 4, b"\0"), HEADER.size)[0]
    return label, content[HEADER.size + 4 * flag :]


def image_of(record: bytes) -> bytes:
    """The image of one whole record. Raises ValueError for other bytes."""
    return labelled_image_of(record)[1]


def find_records(read: Callable[[int, int], bytes], size: int) -> Records:
    """Searches a file of ``size`` bytes, of which ``read`` gives ``count`` from ``start`` on: each is read once.

    Memory: 20 bytes a record, and THREADS chunks. Raises what ``read`` raises, and ValueError where the file does not
    begin with a record.
    """
    starts = range(0, max(size, 1), CHUNK_BYTES)
    with ThreadPoolExecutor(THREADS) as pool:
        chunks = list(pool.map(partial(_parts_in, read, size), starts))
    parts = _Parts(*(np.concatenate(column) for column in zip(*chunks, strict=True)))
    if not len(parts.starts) or parts.starts[0]:
        raise ValueError("does not begin with a record")
    return _records(_in_a_chain(parts, size), read)


class _Parts(NamedTuple):
    starts: np.ndarray
    words: np.ndarray
    flags: np.ndarray
    labels: np.ndarray


def _parts_in(read: Callable[[int, int], bytes], size: int, start: int) -> _Parts:
    count = min(CHUNK_BYTES, size - start)
    data = read(start, min(count + _SEEN, size - start))
    words = np.zeros(-(-count // 4) + _SEEN // 4, np.uint32)
    words[: len(data) // 4] = np.frombuffer(data, "<u4", len(data) // 4)
    places = np.flatnonzero(words[: -(-count // 4)] == MAGIC)
    places = places[words[places + 1] >> 29 <= _LAST]
    flags = words[places + 2]
    labels = np.where(flags > 0, words[places + _LABELS // 4], words[places + 3]).view(np.float32)
    return _Parts(4 * places.astype(np.int64) + start, words[places + 1], flags, labels)


class _Stretches(NamedTuple):
    parts: _Parts
    stops: np.ndarray
    states: np.ndarray


def _in_a_chain(parts: _Parts, size: int) -> _Stretches:
    """The parts, of which each ends where the next one begins.

    A writer that does not split leaves magic numbers inside of parts: where the length of a part leads over them to the
    next, they are its content. Where it leads to none, the stretch up to the next part is damaged, or the file is cut.
    """
    starts = parts.starts
    lengths = (parts.words & MOST_BYTES).astype(np.int64)
    ends = starts + 8 + lengths + -lengths % 4
    ends = np.where(starts + 8 + lengths <= size, np.minimum(ends, size), ends)  # the last one may not be filled up
    stops = np.append(starts[1:], size)
    states = np.zeros(len(starts), np.int8)
    kept = np.ones(len(starts), bool)
    strays: list[int] = []
    reached = 0
    for place in np.flatnonzero(ends != stops).tolist():
        if place < reached:
            continue
        end = int(ends[place])
        following = int(np.searchsorted(starts, end))
        leads_on = end == size or (following < len(starts) and starts[following] == end)
        if leads_on:
            kept[place + 1 : following] = False
            stops[place], reached = end, following
        elif end < stops[place]:  # whole, and bytes behind it that belong to none
            stops[place] = end
            strays.append(end)
        else:
            states[place] = CUT if place == len(starts) - 1 else DAMAGED
    parts = _Parts(*(column[kept] for column in parts))
    stops, states = stops[kept], states[kept]
    if strays:
        places = np.searchsorted(parts.starts, np.array(strays))
        ends = np.append(parts.starts, size)[places]
        none = np.zeros(len(strays), np.uint32)
        added = _Parts(np.array(strays, np.int64), none, none, none.view(np.float32))
        parts = _Parts(*(np.insert(column, places, more) for column, more in zip(parts, added, strict=True)))
        stops = np.insert(stops, places, ends)
        states = np.insert(states, places, np.where(ends - strays < 4, CUT, DAMAGED))  # not even a magic number
    return _Stretches(parts, stops, states)


def _records(stretches: _Stretches, read: Callable[[int, int], bytes]) -> Records:
    """Puts the parts of a record together."""
    parts, stops, states = stretches
    kinds = parts.words >> 29
    lengths = (parts.words & MOST_BYTES).astype(np.int64)
    goes_on = ((kinds == _FIRST) | (kinds == _BETWEEN)) & (states == WHOLE)
    if stops[-1] - parts.starts[-1] < 8:  # the file ends before it says which part it is
        kinds[-1] = _LAST if goes_on[-2:-1].any() else _ONLY
    belongs = (kinds >= _BETWEEN) & np.insert((goes_on | (states == DAMAGED))[:-1], 0, False)
    first = np.flatnonzero(~belongs)
    last = np.append(first[1:], len(belongs)) - 1
    starts, sizes = parts.starts[first], stops[last] - parts.starts[first]
    broken = (kinds[first] >= _BETWEEN) | goes_on[last] | (states[first] == DAMAGED)
    result = np.where(broken, DAMAGED, states[last]).astype(np.int8)
    if goes_on[-1]:
        result[-1] = CUT  # between two parts
    content = np.add.reduceat(lengths, first) + 4 * (last - first)
    flags, labels = parts.flags[first].astype(np.int64), parts.labels[first].copy()
    for place in np.flatnonzero((last > first) & (lengths[first] < _SEEN - 8) & (result == WHOLE)).tolist():
        # The header itself is split.
        head = content_of(read(int(starts[place]), int(sizes[place]))).ljust(_SEEN, b"\0")
        flags[place], labels[place] = HEADER.unpack_from(head)[:2]
        if flags[place]:
            labels[place] = struct.unpack_from("<f", head, HEADER.size)[0]
    image_bytes = content - HEADER.size - 4 * flags
    result[(result == WHOLE) & (image_bytes < 0)] = SHORT
    return Records(starts, sizes, result, flags, labels, image_bytes)


def _aligned(content: bytes) -> list[int]:
    """Where the magic number stands at a multiple of four."""
    places, place = [], content.find(_MAGIC)
    while place >= 0:
        if place % 4 == 0:
            places.append(place)
        place = content.find(_MAGIC, place + (4 if place % 4 == 0 else 1))
    return places
