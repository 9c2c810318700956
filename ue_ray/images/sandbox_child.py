"""The process that decodes untrusted files for ``ue_ray.images.sandbox``; started by it, and by nothing else.

It may not write files or dump core, has a bound on memory, ends when the other side of its socket is closed, and is
killed by its own alarm should it hang after its parent has died.

A request, little-endian: number of files, most pixels, keep metadata; each file's size; the files. An answer, one a
file, as soon as it is there: height (0: not an image), width, whether there is alpha, and the sizes of what follows
the pixels: text (the reason, or the notes, a line each), exif, xmp; then rgb, alpha, text, exif, xmp. Numbers and
bytes, not pickles: what a hostile file makes of this process must not reach into the other.
"""

import os
import resource
import signal
import socket
import struct
import sys
from typing import BinaryIO

from ue_ray.images.codec import ImageError, decode

REQUEST = struct.Struct("<QQ?")
ANSWER = struct.Struct("<6Q")
READY = b"+"


def main(connection: int, seconds: float, memory: int) -> None:
    """Answer requests on the socket of this file descriptor until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform != "darwin":  # has no such bound
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with socket.socket(fileno=connection) as ours, ours.makefile("rb") as requests, ours.makefile("wb") as answers:
        answers.write(READY)
        answers.flush()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 2)  # until here the parent reads why the start failed; from here on C libraries talk
        while header := requests.read(REQUEST.size):
            count, max_pixels, keep_metadata = REQUEST.unpack(header)
            sizes = struct.unpack(f"<{count}Q", requests.read(8 * count))
            files = [requests.read(size) for size in sizes]
            for place in range(count):
                signal.setitimer(signal.ITIMER_REAL, 2 * seconds)
                data, files[place] = files[place], b""
                _answer(answers, data, max_pixels, keep_metadata, memory)
                signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(answers: BinaryIO, data: bytes, max_pixels: int, keep_metadata: bool, memory: int) -> None:
    try:
        picture = decode(data, max_pixels, keep_metadata)
    except ImageError as error:
        reason = str(error)
        if isinstance(error.__cause__, MemoryError):
            reason = f"needed more than {memory / 2**30:.3g} GiB to decode"
        text = reason.encode()
        answers.write(ANSWER.pack(0, 0, 0, len(text), 0, 0) + text)
    else:
        height, width = picture.rgb.shape[:2]
        text = "\n".join(picture.notes).encode()
        exif, xmp = (picture.metadata.get(name, b"") for name in ("exif", "xmp"))
        answers.write(ANSWER.pack(height, width, picture.alpha is not None, len(text), len(exif), len(xmp)))
        answers.write(picture.rgb.data)
        if picture.alpha is not None:
            answers.write(picture.alpha.data)
        answers.write(text + exif + xmp)
    answers.flush()
