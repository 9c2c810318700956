"""Trying again: what is worth another try, how often, and after how long. Time limits of requests stand here too."""

import asyncio
import errno
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

TRIES = 6
"""Of one operation in all: with one fault in ten requests, one operation in a million is lost."""

CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = float(os.environ.get("UE_RAY_REQUEST_TIMEOUT_S", "30"))
"""A request to a store that has been silent for so long has failed. Set by the environment, for all processes alike."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
wait, wait_async = time.sleep, asyncio.sleep  # tests put something quicker here

_PERMANENT = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_PASSING = {
    *(errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.EPIPE, errno.ETIMEDOUT),
    *(errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN),
}


def is_passing(error: OSError) -> bool:
    """Whether the same operation may succeed a moment later: a network or a store in trouble, not a wrong request."""
    return not isinstance(error, _PERMANENT) and (error.errno is None or error.errno in _PASSING)


def persist(action: Callable[[], T]) -> T:
    """``action()``, tried up to TRIES times, with waits that double and are drawn at random below that.

    Raises what the last try raised; an error that is no passing one at once.
    """
    for pause in _pauses():
        try:
            return action()
        except OSError as error:
            if not is_passing(error):
                raise
        wait(pause)
    return action()


async def persist_async(action: Callable[[], Awaitable[T]]) -> T:
    """``persist`` of a coroutine function."""
    for pause in _pauses():
        try:
            return await action()
        except OSError as error:
            if not is_passing(error):
                raise
        await wait_async(pause)
    return await action()


def _pauses() -> Iterator[float]:
    for attempt in range(TRIES - 1):
        # Drawn, so that workers that failed together do not come back together.
        yield random.uniform(0.5, 1) * min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S)
