"""Failures out of Ray's tasks: what went wrong, on one line, without what the frameworks wrap around it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ue_ray.errors import RunError, UserError, one_line

FULL = (errno.ENOSPC, errno.EDQUOT)
_CHAINED = re.compile(r"^(The above exception was the direct cause|During handling of the above exception)", re.M)
_COLOURS = re.compile(r"\x1b\[\d+m")
_RAISED = re.compile(r"(?P<name>[A-Za-z_]\w*(\.\w+)*)(: (?P<said>.*))?")  # "OSError: no such file", at a line's start
_ERRNO = re.compile(r"\[errno (\d+)\] *", re.I)


@contextmanager
def causes(writing: str = "") -> Iterator[None]:
    """Raises a failure of a task, a worker or this process's own writing as what caused it.

    A UserError stays one; all else is a RunError of one line, raised from what the frameworks made of it.
    ``writing``: where to, named where no space is left.
    """
    try:
        yield
    except Exception as error:
        cause = _cause(error, writing)
        if cause is not None:
            raise cause from error
        raise


def no_space(error: OSError, writing: str) -> RunError | None:
    """Returns what to raise where ``error`` says that no space is left at ``writing``."""
    return RunError(_said_of(error, writing)) if error.errno in FULL else None


def _cause(error: BaseException, writing: str) -> UserError | RunError | None:
    """Returns what is to be raised instead of ``error``; None for a failure of this process, which is raised as it is.

    Exceptions lose their causes when they are pickled, but the texts of Ray's own hold their tracebacks.
    """
    for failure in getattr(error, "worker_failures", {}).values():
        if isinstance(failure, UserError | RunError) and not _is_rays(failure):
            return failure
        return _of_text(str(failure), writing) if _is_rays(failure) else RunError(_said_of(failure, writing))
    if _is_rays(error):
        return _of_text(str(error), writing)
    return RunError(_said_of(error, writing)) if isinstance(error, OSError) else None


def _is_rays(error: BaseException) -> bool:
    """Returns whether the class is of Ray's making: of a task's UserError, Ray makes one that is both."""
    return type(error).__module__.partition(".")[0] == "ray"


def _of_text(text: str, writing: str) -> UserError | RunError:
    lines = _CHAINED.split(_COLOURS.sub("", text))[0].splitlines()  # the first of a chain is the cause
    for line in lines:
        raised = _RAISED.fullmatch(line)
        if raised and not raised["name"].startswith("ray.") and _is_a_class(raised["name"]):
            module, _, name = raised["name"].rpartition(".")
            said = raised["said"] or ""
            if module.startswith("ue_ray."):
                return UserError(said) if name == UserError.__name__ else RunError(said)
            return RunError(_said(name, said, writing))
    first = next((line for line in lines if line.strip()), "no details")
    return RunError(one_line(RuntimeError(first)))


def _said_of(error: BaseException, writing: str) -> str:
    return _said(type(error).__name__, str(error), writing)


def _is_a_class(name: str) -> bool:
    return name.rpartition(".")[2][:1].isupper()


def _said(name: str, said: str, writing: str) -> str:
    number = _ERRNO.search(said)
    if number and int(number[1]) in FULL:
        file = re.search(r"'([^']+)'", said)
        return f"no space left on device: {file[1] if file else writing}"
    return f"{name}: {one_line(OSError(_ERRNO.sub('', said)))}"
