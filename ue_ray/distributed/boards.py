"""What must outlive a worker, in actors of their own. They import neither torch nor ray: they start in no time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
INTERVAL = 0.5  # seconds between two looks


class Board:
    """Where worker 0 writes and the driver reads: the last round (its fields), a mistake of the user's that ends it."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._mistake = ""

    def put(self, entry: dict[str, Any]) -> None:
        self._last = entry

    def last(self) -> dict[str, Any]:
        return self._last

    def blame(self, mistake: str) -> None:
        self._mistake = mistake

    def mistake(self) -> str:
        return self._mistake


class Epochs:
    """How many each victim has trained for; one that starts again, its worker lost, counts on from where it was."""

    def __init__(self) -> None:
        self._reached: dict[str, int] = {}

    def reached(self, victim: str, epoch: int) -> None:
        self._reached[victim] = max(epoch, self._reached.get(victim, 0))

    def total(self) -> int:
        return sum(self._reached.values())


class Tries:
    """How often each shard was begun, whatever became of its worker."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def add(self, index: int) -> int:
        self._begun[index] += 1
        return self._begun[index]


@contextmanager
def watching(read: Callable[[], T], show: Callable[[T], None]) -> Iterator[None]:
    """Calls ``show`` with each new value that ``read`` returns, but for empty ones, while the block runs."""
    stopped = threading.Event()

    def watch() -> None:
        shown: T | None = None
        while not stopped.wait(INTERVAL):
            found = read()
            if found and found != shown:
                show(found)
                shown = found

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
