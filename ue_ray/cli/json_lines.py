"""Standard error as JSON, for a log collector: by ``UE_RAY_LOG_FORMAT=json`` in the environment, of every command."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOBase
from typing import TextIO

from ue_ray.errors import choose

VARIABLE = "UE_RAY_LOG_FORMAT"
FORMATS = ("text", "json")


class JsonLines(TextIOBase):
    """Writes each line that it is given to ``stream`` as one object: ``time`` (ISO 8601, UTC), ``command``, ``run`` and
    ``message``. ``run``: the URI of the output; null before the flags are read."""

    def __init__(self, stream: TextIO, command: str) -> None:
        self.stream = stream
        self.command = command
        self.run: str | None = None
        self._begun = _Begun()

    def line(self, message: str) -> str:
        """Returns what stands for ``message``, without a newline."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": time, "command": self.command, "run": self.run, "message": message})

    def write(self, text: str) -> int:
        *lines, self._begun.text = (self._begun.text + text).split("\n")
        self.stream.write("".join(f"{self.line(message)}\n" for message in lines if message))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return self.stream.fileno()


class _Begun(threading.local):
    """What each thread has written of a line: ``print`` writes a newline by itself."""

    text = ""


@contextmanager
def as_json(command: str) -> Iterator[None]:
    """While the block runs, standard error is as the environment asks for. Raises UserError for an unknown format."""
    if choose(os.environ.get(VARIABLE, "text"), FORMATS, VARIABLE) == "text":
        yield
        return
    former, sys.stderr = sys.stderr, JsonLines(sys.stderr, command)
    try:
        yield
    finally:
        print(file=sys.stderr)  # ends a line that was begun; an empty one is none
        sys.stderr = former


def belongs_to(output: str) -> None:
    """From now on, lines are of the run with this output."""
    if isinstance(sys.stderr, JsonLines):
        from ue_ray.storage.filesystem import absolute

        sys.stderr.run = absolute(output)


def as_line(message: str) -> str:
    """Returns what stands for ``message`` where it is not written by ``sys.stderr``, without a newline."""
    return sys.stderr.line(message) if isinstance(sys.stderr, JsonLines) else message
