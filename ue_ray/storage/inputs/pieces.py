"""Pieces of a few large objects, read in few requests: images out of tars and record files."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from ue_ray.errors import ReadFailure
from ue_ray.storage.inputs.folder import MAX_FILE_BYTES, TOO_LARGE, attempt
from ue_ray.storage.store import Store

GAP = 64 << 10  # bytes that nobody asked for, read rather than asked around
SPAN_BYTES = 4 << 20  # read at once
SPANS = 8  # read side by side: what hides a store's latency, and with SPAN_BYTES bounds the bytes held


@dataclass
class _Span:
    """Pieces of one object that are read together: (offset, size) of each, in bytes."""

    name: str
    pieces: list[tuple[int, int]] = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.pieces[0][0]

    @property
    def stop(self) -> int:
        offset, size = self.pieces[-1]
        return offset + size

    def takes(self, name: str, offset: int, size: int) -> bool:
        """Whether a piece lies behind those that are here, and near."""
        near = self.stop <= offset <= self.stop + GAP
        return name == self.name and near and offset + size - self.start <= SPAN_BYTES


def read_pieces(
    store: Store, names: Sequence[str], offsets: Sequence[int], sizes: Sequence[int]
) -> Iterator[bytes | ReadFailure]:
    """Yields ``sizes[i]`` bytes from ``offsets[i]`` on of the object ``names[i]`` of ``store``, in order.

    Neighbours come in one request: pieces asked for in the order of an object are read once. What cannot be read is a
    ReadFailure. Raises OutOfReach if the store is to blame.
    """
    with ThreadPoolExecutor(SPANS) as pool:
        waiting: deque[Future[list[bytes | ReadFailure]]] = deque()
        for span in _spans(zip(names, offsets, sizes, strict=True)):
            if len(waiting) == SPANS:
                yield from waiting.popleft().result()
            waiting.append(pool.submit(_read, store, span))
        while waiting:
            yield from waiting.popleft().result()


def _spans(pieces: Iterator[tuple[str, int, int]]) -> Iterator[_Span]:
    span: _Span | None = None
    for name, offset, size in pieces:
        if span is None or not span.takes(name, offset, size):
            if span is not None:
                yield span
            span = _Span(name)
        span.pieces.append((offset, size))
    if span is not None:
        yield span


def _read(store: Store, span: _Span) -> list[bytes | ReadFailure]:
    if span.stop - span.start > MAX_FILE_BYTES:
        return [TOO_LARGE]
    if span.stop == span.start:
        return [b""] * len(span.pieces)  # no store gives a range of no bytes
    data = attempt(store, partial(store.read_range, span.name, span.start, span.stop - span.start))
    if isinstance(data, bytes):
        return [data[offset - span.start : offset - span.start + size] for offset, size in span.pieces]
    if len(span.pieces) == 1:
        return [data]
    alone = (_Span(span.name, [piece]) for piece in span.pieces)  # one that is lost takes no other with it
    return [result for one in alone for result in _read(store, one)]
