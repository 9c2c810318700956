"""What an actor knows, shown on the driver while that waits for something else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
INTERVAL = 0.5  # seconds between two looks


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
