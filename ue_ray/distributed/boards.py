"""Actors that keep what must outlive a worker. They import neither torch nor Ray, so that they start at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
INTERVAL = 0.5  # seconds between two reads of ``watching``


class Board:
    """Worker 0 writes here and the driver reads: the last entry, and what ended the work for good."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._mistake: Exception | None = None

    def put(self, entry: dict[str, Any]) -> None:
        self._last = entry

    def last(self) -> dict[str, Any]:
        return self._last

    def blame(self, mistake: Exception) -> None:
        self._mistake = mistake

    def mistake(self) -> Exception | None:
        return self._mistake


@dataclass(frozen=True)
class Reached:
    """Where a victim is: the last epoch that has ended, and its accuracy on the test images then, in [0, 1]."""

    epoch: int
    test_accuracy: float


class Epochs:
    """Knows what each victim has reached. One that starts again says nothing new before it is where it was."""

    def __init__(self) -> None:
        self._reached: dict[str, Reached] = {}

    def reached(self, victim: str, epoch: int, test_accuracy: float) -> None:
        if victim not in self._reached or epoch > self._reached[victim].epoch:
            self._reached[victim] = Reached(epoch, test_accuracy)

    def victims(self) -> dict[str, Reached]:
        return dict(self._reached)


class Tries:
    """Counts how often each shard was begun, whatever became of its worker."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def add(self, index: int) -> int:
        """Counts one more for the shard of that number; returns its count."""
        self._begun[index] += 1
        return self._begun[index]


@contextmanager
def watching(read: Callable[[], T], show: Callable[[T], None]) -> Iterator[None]:
    """While the block runs, calls ``show`` with each new value of ``read``, except for empty ones."""
    stopped = threading.Event()

    def watch() -> None:
        shown: T | None = None
        while not stopped.wait(INTERVAL):
            value = read()
            if value and value != shown:
                show(value)
                shown = value

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
