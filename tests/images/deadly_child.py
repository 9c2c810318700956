"""A decoder's child in which a few words are deadly, as hostile files may be to a decoder with a bug."""

import os
import signal
import sys
from typing import Any

from ue_ray.images import sandbox_child
from ue_ray.images.codec import Picture
from ue_ray.images.sandbox_child import main as main

_decode = sandbox_child.decode


def decode(data: bytes, *options: Any) -> Picture:
    if data == b"kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b"stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if data == b"hang":
        while True:
            pass
    if data == b"shout":
        for descriptor in (1, 2):
            os.write(descriptor, b"a warning of a C library\n")
        print("and of Python", file=sys.stderr)
    return _decode(data, *options)


sandbox_child.decode = decode
