"""Many small stretches of large files, read in few requests: what lies close together comes together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from ue_ray.errors import ReadFailure
from ue_ray.storage.inputs.folder import MAX_FILE_BYTES, TOO_LARGE, attempt
from ue_ray.storage.store import Store

REQUEST_BYTES = 4 << 20  # that one request asks for, or one stretch, if it alone has more
GAP_BYTES = 64 << 10  # between two stretches; a request costs as much as a few hundred KB
REQUESTS = 8  # on their way at a time

Place = tuple[str, int, int]
"""The name of a file in the store, where a stretch of it begins, and how many bytes it has."""


@dataclass
class _Request:
    name: str
    start: int
    stop: int
    places: list[Place]


def read_stretches(store: Store, places: Iterable[Place]) -> Iterator[bytes | ReadFailure]:
    """The bytes of each place, in order, or why they cannot be read.

    Memory: REQUESTS + 1 requests. Raises OutOfReach if the store as a whole is to blame.
    """
    pending: deque[Future[list[bytes | ReadFailure]]] = deque()
    with ThreadPoolExecutor(REQUESTS) as pool:
        for request in _requests(places):
            pending.append(pool.submit(_answers, store, request))
            if len(pending) > REQUESTS:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _requests(places: Iterable[Place]) -> Iterator[_Request]:
    request: _Request | None = None
    for place in places:
        name, start, count = place
        if (
            request is not None
            and name == request.name
            and request.stop <= start <= request.stop + GAP_BYTES
            and start + count - request.start <= REQUEST_BYTES
        ):
            request.stop = start + count
            request.places.append(place)
            continue
        if request is not None:
            yield request
        request = _Request(name, start, start + count, [place])
    if request is not None:
        yield request


def _answers(store: Store, request: _Request) -> list[bytes | ReadFailure]:
    data = _read(store, request.name, request.start, request.stop - request.start)
    if isinstance(data, bytes):
        return [data[start - request.start : start - request.start + count] for _, start, count in request.places]
    if len(request.places) == 1:
        return [data]
    return [_read(store, *place) for place in request.places]  # what one of them lacks the others may have


def _read(store: Store, name: str, start: int, count: int) -> bytes | ReadFailure:
    if count > MAX_FILE_BYTES:
        return TOO_LARGE
    return attempt(store, partial(store.read_range, name, start, count))
