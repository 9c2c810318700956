"""Stopping a command: Ctrl-C, and the SIGTERM of every scheduler, end it at once and with a line."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STOPS = (signal.SIGINT, signal.SIGTERM)
_DONE = 0  # no signal has this number


@contextmanager
def stoppable(line: Callable[[], str]) -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM end the process: ``line()`` on standard error, status 130 or 143.

    Whatever the main thread does meanwhile, and whichever handlers libraries install (Ray Train's for SIGINT goes on
    with the run), Python writes the number of each signal to a pipe, and a thread reads it. All processes that this one
    has started end with it. A signal that was ignored, as after ``nohup``, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    former = {number: signal.getsignal(number) for number in STOPS}
    for number in STOPS:
        if former[number] is not signal.SIG_IGN:
            signal.signal(number, _leave_it_to_the_thread)
    console = os.dup(2)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    former_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_end_at_a_signal, args=(reader, console, line), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(former_writer)
        for number, handler in former.items():
            signal.signal(number, handler)
        os.write(writer, bytes([_DONE]))
        thread.join()  # does not return where a signal came first
        for opened in (reader, writer, console):
            os.close(opened)


def _leave_it_to_the_thread(number: int, frame: object) -> None:
    """Without a handler in Python, Python would write no number."""


def _end_at_a_signal(reader: int, console: int, line: Callable[[], str]) -> None:
    while (number := os.read(reader, 1)[0]) != _DONE:
        if number in STOPS:
            start = "\n" if os.isatty(console) else ""  # a progress line may stand there
            with suppress(OSError):
                os.write(console, f"{start}{line()}\n".encode())  # not by sys.stderr, which the main thread may hold
            _kill_once_this_has_ended(_halted_descendants())
            os._exit(128 + number)


def _halted_descendants() -> set[int]:
    """Halts all processes below this one: two of a local Ray's would outlive it.

    Each is halted before any is killed, so that none starts another unseen. Without a ``/proc``, Ray kills its own.
    """
    halted: set[int] = set()
    while new := _descendants() - halted:
        _signal_all(new, signal.SIGSTOP)
        halted |= new
    return halted


def _kill_once_this_has_ended(processes: set[int]) -> None:
    """Ray's library ends this process with status 1 when it misses its raylet: so the raylet must not go first.

    A shell reads a pipe that only this process could write to, comes to its end when this process has ended, and kills.
    """
    reader, _ = os.pipe()
    script = f"read -r _; kill -KILL {' '.join(map(str, processes))}"
    silent = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    try:
        if processes:
            os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", script],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0), silent],
                setpgroup=0,  # a second Ctrl-C is not for the shell
            )
    except OSError:
        _signal_all(processes, signal.SIGKILL)


def _descendants() -> set[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # gone meanwhile
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, waiting = set[int](), [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


def _signal_all(processes: set[int], number: int) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
