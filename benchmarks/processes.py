"""The processes below one that a benchmark has started: what they are, what memory each has. Reads /proc (Linux)."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """``started``, in clock ticks since boot, tells it from a later process of the same ``pid``; ``resident`` bytes."""

    pid: int
    parent: int
    started: int
    resident: int
    title: str

    @property
    def kind(self) -> str:
        """Such as ``ray::MapWorker``, ``raylet``; the child that decodes is ``decoder``."""
        if self.title.startswith("ray::"):
            return re.split(r"[ .(]", self.title)[0]
        if "ue_ray.images.sandbox_child" in self.title:
            return "decoder"
        return Path(self.title.split(" ")[0]).name

    def kill(self) -> bool:
        """SIGKILL, if it is still this process; whether it was."""
        if not is_alive(self):
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            return True
        return False


def read(pid: int) -> Process | None:
    """None if it has ended (or is a zombie)."""
    place = Path(f"/proc/{pid}")
    try:
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        title = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[1]), int(fields[19]), int(fields[21]) * _PAGE, title)


def is_alive(process: Process) -> bool:
    now = read(process.pid)
    return now is not None and now.started == process.started


def family(root: int) -> list[Process]:
    """``root`` and all below it."""
    found = {int(place.name): read(int(place.name)) for place in Path("/proc").glob("[0-9]*")}
    alive = [process for process in found.values() if process]
    members, count = {root}, 0
    while len(members) > count:
        count = len(members)
        members |= {process.pid for process in alive if process.parent in members}
    return [process for process in alive if process.pid in members]


class Watch:
    """Looks at the family of ``root`` again and again while the ``with`` block runs.

    ``seen`` holds every process there ever was; ``peaks`` the largest resident memory of each kind in bytes (``driver``
    is ``root``; shared pages count in each process that has them); ``spans`` when each kind was there, in seconds
    since the start. ``look``, where given, is called with each family.
    """

    def __init__(self, root: int, every: float = 0.1, look: Callable[[list[Process]], None] | None = None) -> None:
        self.root = root
        self.every = every
        self.look = look
        self.seen: dict[tuple[int, int], Process] = {}
        self.peaks: dict[str, int] = {}
        self.spans: dict[str, tuple[float, float]] = {}
        self.started = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def peaks_mib(self) -> dict[str, int]:
        """Largest first."""
        return {name: round(peak / 2**20) for name, peak in sorted(self.peaks.items(), key=lambda entry: -entry[1])}

    def _run(self) -> None:
        while not self._ended.is_set():
            members = family(self.root)
            now = time.monotonic() - self.started
            for process in members:
                self.seen[process.pid, process.started] = process
                kind = "driver" if process.pid == self.root else process.kind
                self.peaks[kind] = max(self.peaks.get(kind, 0), process.resident)
                self.spans[kind] = (self.spans.get(kind, (now, now))[0], now)
            if self.look:
                self.look(members)
            self._ended.wait(self.every)


def end(processes: list[Process], patience: float) -> list[Process]:
    """Wait until all have ended, ``patience`` seconds at most, then SIGKILL the rest; returns those."""
    deadline = time.monotonic() + patience
    while (left := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [process for process in left if process.kill()]
