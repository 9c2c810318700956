"""Progress on the console: one line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

PLAIN_INTERVAL = 5.0  # seconds between two lines where the output is not a terminal


class Progress:
    """Says where one stage of a run is; ``done`` leaves its last line standing."""

    def __init__(self, stage: str, stream: TextIO | None = None) -> None:
        self.stage = stage
        self.stream = stream or sys.stderr
        self.moves = self.stream.isatty()
        self.started = time.monotonic()
        self._last_plain = self.started
        self._width = 0

    def show(self, text: str, fraction: float | None = None) -> None:
        """``fraction`` of the stage's work that is done, in [0, 1], gives the time left."""
        elapsed = time.monotonic() - self.started
        left = f", {_clock(elapsed / fraction - elapsed)} left" if fraction else ""
        line = f"{self.stage}: {text}, {_clock(elapsed)}{left}"
        if self.moves:
            self.stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
            self.stream.flush()
        elif time.monotonic() - self._last_plain >= PLAIN_INTERVAL:
            self._last_plain = time.monotonic()
            print(line, file=self.stream, flush=True)

    def done(self, text: str) -> None:
        line = f"{self.stage}: {text}, {_clock(time.monotonic() - self.started)}"
        print(("\r" + line.ljust(self._width)) if self.moves else line, file=self.stream, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
