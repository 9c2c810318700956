"""Progress on the console: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

PLAIN_INTERVAL = 5.0  # seconds between two lines where the output is not a terminal


def say(text: str) -> None:
    """Prints a line for the person at the console; standard output stays free for what a program would read."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Says where one stage of a run is; ``done`` leaves its last line standing."""

    def __init__(self, stage: str, stream: TextIO | None = None) -> None:
        self.stage = stage
        self.stream = stream or sys.stderr
        self.moves = self.stream.isatty()
        self.started = time.monotonic()
        self._last_plain = self.started
        self._last_text = ""
        self._first: tuple[float, float] | None = None  # seconds and fraction
        self._width = 0

    def show(self, text: str, fraction: float = 0.0, left: float | None = None) -> None:
        """What has been reached. The seconds left are given, or follow from the ``fraction`` of the stage's work that
        is done, in [0, 1], by the pace since the first part was done: what came before it was the warm-up."""
        elapsed = time.monotonic() - self.started
        if left is None and fraction:
            self._first = self._first or (elapsed, fraction)
            seconds, done = elapsed - self._first[0], fraction - self._first[1]
            left = (1 - fraction) * seconds / done if done > 0 else None
        remaining = "" if left is None else f", about {_clock(left)} left"
        line = f"{self.stage}: {text}, {_clock(elapsed)}{remaining}"
        if self.moves:
            self.stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
            self.stream.flush()
        elif text != self._last_text and time.monotonic() - self._last_plain >= PLAIN_INTERVAL:
            self._last_plain = time.monotonic()
            self._last_text = text
            print(line, file=self.stream, flush=True)

    def clear(self) -> None:
        """Take the moving line away, so that another can be printed in its place; ``show`` brings it back."""
        if self.moves:
            self.stream.write("\r" + " " * self._width + "\r")
            self.stream.flush()

    def done(self, text: str) -> None:
        line = f"{self.stage}: {text}, {_clock(time.monotonic() - self.started)}"
        print(("\r" + line.ljust(self._width)) if self.moves else line, file=self.stream, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
