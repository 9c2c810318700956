"""Untrusted files are decoded in a process of their own: one that kills or hangs it takes nothing with it."""

from __future__ import annotations

import atexit
import io
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import numpy as np

from ue_ray.errors import ReadFailure, RunError
from ue_ray.images.codec import MAX_PIXELS, ImageError, Picture
from ue_ray.images.sandbox_child import ANSWER, READY, REQUEST

SECONDS = 30.0  # photos of 150 megapixels took 7 to 20 on a core shared with others
MEMORY = 6 << 30  # bytes of address space; PNG, JPEG and TIFF of MAX_PIXELS took 2 to 3 GiB
TRIES = 2  # the machine may have killed or stalled the process, not the file

_GROUP_FILES = 64
_GROUP_BYTES = 4 << 20  # sent at a time, or one file
_BUFFER = 256 << 10
_START_SECONDS = 120.0  # an import from a busy network file system
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from {} import main; main(*json.loads(sys.argv[1]))"
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "LC_ALL": "C"}
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # how this Python finds its libraries


class _Ended(Exception):
    """The process died."""


class Decoder:
    """Decodes files in a child process, which is started at the first one and again after each death.

    ``seconds`` is the longest one file may take, ``memory`` the most bytes of address space the process may have
    (not on macOS). Not for two threads at a time: ``decode_files`` gives each its own.
    """

    child: ClassVar[str] = "ue_ray.images.sandbox_child"

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self.seconds = seconds
        self.memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: io.BufferedReader
        self._requests: io.BufferedWriter

    @property
    def pid(self) -> int | None:
        """Of the child, if it runs."""
        return self._process.pid if self._process else None

    def decode_all(
        self, files: Iterable[bytes | ReadFailure], max_pixels: int = MAX_PIXELS, keep_metadata: bool = False
    ) -> Iterator[Picture | ImageError]:
        """Each file in order, as ``images.decode`` gives it, or the error; decoded while the caller uses the former.

        A file that kills or stalls the process is tried twice, then it is an ImageError, like any other bad file. A
        ReadFailure becomes an ImageError of the same reason. Must be read to its end before the next call.
        """
        remaining = iter(files)
        while group := _group(remaining):
            data = [entry for entry in group if isinstance(entry, bytes)]
            pictures = self._decode(data, max_pixels, keep_metadata)
            for entry in group:
                yield ImageError(entry.reason) if isinstance(entry, ReadFailure) else next(pictures)

    def close(self) -> None:
        """End the child. A later ``decode_all`` starts another."""
        if self._process is None:
            return
        self._process.kill()
        for stream in (self._requests, self._answers):
            with suppress(OSError):  # what is still in the buffer has no reader
                stream.close()
        self._process.wait()
        self._process = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self, files: Sequence[bytes], max_pixels: int, keep_metadata: bool) -> Iterator[Picture | ImageError]:
        done = failures = 0
        waiting = False  # for answers to a request
        while done < len(files):
            if self._process is None:
                self._start()
            try:
                if not waiting:
                    self._request(files[done:], max_pixels, keep_metadata)
                    waiting = True
                answer = self._answer(max_pixels)
            except (OSError, _Ended) as error:  # TimeoutError is an OSError
                self.close()
                waiting = False
                failures += 1  # answers come in order: it was this file
                if failures < TRIES:
                    continue
                slow = isinstance(error, TimeoutError)
                answer = ImageError(f"took longer than {self.seconds:g} s to decode" if slow else _KILLED)
            done, failures = done + 1, 0
            yield answer

    def _request(self, files: Sequence[bytes], max_pixels: int, keep_metadata: bool) -> None:
        sizes = [len(data) for data in files]
        self._requests.write(REQUEST.pack(len(files), max_pixels, keep_metadata))
        self._requests.write(struct.pack(f"<{len(files)}Q", *sizes))
        for data in files:  # the child reads all of a request before it answers, so neither waits for the other
            self._requests.write(data)
        self._requests.flush()

    def _answer(self, max_pixels: int) -> Picture | ImageError:
        height, width, has_alpha, *sizes = ANSWER.unpack(self._read(ANSWER.size))
        if height * width > max_pixels or max(sizes) > 1 << 20:
            raise _Ended  # no honest child says so
        rgb = self._pixels((height, width, 3)) if height else None
        alpha = self._pixels((height, width)) if has_alpha else None
        text, exif, xmp = (self._read(size) for size in sizes)
        if rgb is None:
            return ImageError(text.decode())
        metadata = {name: value for name, value in (("exif", exif), ("xmp", xmp)) if value}
        return Picture(rgb, alpha, tuple(text.decode().splitlines()), metadata)

    def _read(self, size: int) -> bytes:
        data = self._answers.read(size)
        if len(data) < size:
            raise _Ended
        return data

    def _pixels(self, shape: tuple[int, ...]) -> np.ndarray:
        pixels = np.empty(shape, np.uint8)
        if self._answers.readinto(pixels.data) < pixels.nbytes:
            raise _Ended
        return pixels

    def _start(self) -> None:
        try:
            self._start_child()
        except OSError as error:  # no memory, processes or descriptors left: no file's fault
            raise RunError(f"the process that decodes images does not start: {error}") from error

    def _start_child(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:  # the files made of ours keep it open
            for end in (ours, theirs):
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    end.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
            paths = [os.path.abspath(path) for path in sys.path] + [str(Path(__file__).resolve().parents[2])]
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-c", _BOOT.format(self.child)),
                    *(json.dumps([theirs.fileno(), self.seconds, self.memory]), json.dumps(paths)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,  # until it is ready
                pass_fds=[theirs.fileno()],
                env=_ENVIRONMENT | {name: os.environ[name] for name in _KEPT if name in os.environ},
                start_new_session=True,  # Ctrl-C at the console is not for it
            )
            theirs.close()
            ours.settimeout(_START_SECONDS)
            self._answers = ours.makefile("rb", _BUFFER)  # type: ignore[assignment]
            self._requests = ours.makefile("wb", _BUFFER)  # type: ignore[assignment]
            with suppress(OSError):
                if self._answers.read(1) == READY:
                    ours.settimeout(self.seconds)
                    self._process.stderr.close()  # type: ignore[union-attr]
                    return
        self._process.kill()
        said = self._process.communicate()[1].decode(errors="replace").strip().splitlines()
        self.close()
        raise RunError(f"the process that decodes images does not start: {said[-1] if said else 'it says nothing'}")


_KILLED = "killed the decoder twice"
_idle: list[Decoder] = []  # this process's decoders that nobody uses now


def decode_files(
    files: Iterable[bytes | ReadFailure], max_pixels: int = MAX_PIXELS, keep_metadata: bool = False
) -> Iterator[Picture | ImageError]:
    """``Decoder.decode_all`` by a decoder of this process that is free, or a new one: its start is paid once."""
    decoder = _idle.pop() if _idle else Decoder()
    try:
        yield from decoder.decode_all(files, max_pixels, keep_metadata)
    except BaseException:  # the reader may have stopped early: answers are left in the pipe
        decoder.close()
        raise
    _idle.append(decoder)


@atexit.register
def _close_idle() -> None:
    while _idle:
        _idle.pop().close()


os.register_at_fork(after_in_child=_idle.clear)  # they talk to the parent


def _group(files: Iterator[bytes | ReadFailure]) -> list[bytes | ReadFailure]:
    """The next few: what is sent at a time, and so what of the input is held."""
    group: list[bytes | ReadFailure] = []
    size = 0
    for entry in islice(files, _GROUP_FILES):
        group.append(entry)
        size += len(entry) if isinstance(entry, bytes) else 0
        if size >= _GROUP_BYTES:
            break
    return group
