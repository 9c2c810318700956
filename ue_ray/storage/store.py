"""A folder on some filesystem and what is done there: reading, listing, whole-or-absent writes, deleting.

A store may hold connections and credentials: open it where it is used, never pickle it.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Self, TypeVar

from pyarrow import fs

from ue_ray.errors import RunError, one_line
from ue_ray.storage.retry import persist

T = TypeVar("T")

NOT_FOLLOWED = -1
"""In place of the size of a link that ``walk`` did not follow."""


class OutOfReach(RunError):
    """An input as a whole cannot be read any more: gone, no network, no permission. ``str(error)`` is one line."""


class Store:
    """A folder (or one object) on a filesystem of Arrow's or fsspec's: ``root`` is its path there.

    Each method takes a ``name`` relative to ``root``, with ``/``; none is ``root`` itself. Errors are OSErrors. What
    fails in passing is tried again as ``retry.persist`` has it.
    """

    def __init__(self, filesystem: Any, root: str) -> None:
        self.filesystem = filesystem
        self.root = root

    def path(self, name: str = "") -> str:
        return f"{self.root}/{name}" if name else self.root

    @property
    def location(self) -> tuple[str, ...]:
        """What the store is, then the segments of ``root``: equal for one place, however it was written."""
        if isinstance(self.filesystem, fs.PyFileSystem):
            handler = self.filesystem.handler.fs
            return (str(handler.protocol), *posixpath.normpath(self.root).split("/"))
        return (self.filesystem.type_name, *self.root.split("/"))

    def below(self, name: str) -> Self:
        """The store of the folder ``name``."""
        return type(self)(self.filesystem, self.path(name))

    def open(self, name: str = "") -> Any:
        """An object as a file to read at any place, as Parquet and tar need it."""
        return self.filesystem.open_input_file(self.path(name))

    def read(self, name: str = "", limit: int | None = None) -> bytes:
        """The whole object, its length checked. Raises OSError (EFBIG), reading nothing, above ``limit`` bytes."""

        def read() -> bytes:
            with self.open(name) as file:
                size = file.size()
                if limit is not None and size > limit:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                return _exactly(size, file.read())

        return persist(read)

    def read_if_there(self, name: str = "") -> bytes | None:
        """The whole object; None if there is none."""
        try:
            return self.read(name)
        except FileNotFoundError:
            return None

    def read_range(self, name: str, start: int, count: int) -> bytes:
        """``count`` bytes of an object from ``start`` on. Raises OSError (ENODATA, at once) where it has fewer."""

        def read() -> bytes:
            with self.open(name) as file:
                if file.size() < start + count:
                    raise OSError(errno.ENODATA, "shorter than expected")
                return _exactly(count, file.read_at(count, start))

        return persist(read)

    @contextmanager
    def fetched(self, name: str) -> Iterator[str]:
        """A local file with the content of an object, for as long as the block lasts. Raises OutOfReach too."""
        with tempfile.NamedTemporaryFile() as copy:

            def fetch() -> None:
                with self.open(name) as remote, open(copy.name, "wb") as file:
                    shutil.copyfileobj(remote, file, 8 << 20)

            self.blame(partial(self.persist, fetch))
            yield copy.name

    def write(self, name: str, data: bytes) -> None:
        """Replace an object: a reader sees the old one or the new one, never a part."""
        with self.staged(name) as local, open(local, "wb") as file:
            file.write(data)

    def create_exclusive(self, name: str, data: bytes) -> bool:
        """Write an object if there is none yet; whether this call did so. Of several callers one wins.

        Whole or absent, and exact locally and on S3. Elsewhere it is as exact as fsspec's ``mode="create"`` for that
        store; where there is none, the look and the write are two steps, and two callers at the same moment may both
        win.
        """
        if isinstance(self.filesystem, fs.PyFileSystem):
            with suppress(NotImplementedError):
                try:
                    self.filesystem.handler.fs.pipe_file(self.path(name), data, mode="create")
                    return True
                except FileExistsError:
                    return False
        if self.info(name).type != fs.FileType.NotFound:
            return False
        self.write(name, data)
        return True

    @contextmanager
    def staged(self, name: str = "", folder: str | None = None) -> Iterator[str]:
        """Give a local file name to write; publish it as ``name`` when the block ends, drop it if the block raises.

        Locally that is a rename, from ``folder`` or from beside ``name`` (folders are made), elsewhere an upload. The
        published file is whole or absent.
        """
        handle, staging = tempfile.mkstemp(suffix=".tmp")
        os.close(handle)
        try:
            yield staging
            self.upload(staging, name)
        finally:
            os.unlink(staging)

    def upload(self, local: str, name: str) -> None:
        """Write an object with the content of a local file."""

        def upload() -> None:
            if isinstance(self.filesystem, fs.PyFileSystem):
                self.filesystem.handler.fs.put_file(local, self.path(name))
                return
            with open(local, "rb") as file, self.filesystem.open_output_stream(self.path(name)) as stream:
                shutil.copyfileobj(file, stream, 1 << 20)

        persist(upload)

    def info(self, name: str = "") -> fs.FileInfo:
        """What is there (``type``: File, Directory or NotFound) and its ``size`` in bytes."""
        return persist(partial(self.filesystem.get_file_info, self.path(name)))

    def entries(self, name: str = "") -> list[fs.FileInfo]:
        """What lies directly in a folder; nothing where there is no folder."""
        selector = fs.FileSelector(self.path(name), allow_not_found=True)
        return persist(partial(self.filesystem.get_file_info, selector))

    def names(self, name: str = "") -> list[str]:
        """The names of what lies directly in a folder, sorted; none where there is no folder."""
        return sorted(entry.base_name for entry in self.entries(name))

    def leads_out(self, name: str) -> bool:
        """Whether ``name`` is a link, or lies behind one, that leads out of the store."""
        return False

    def walk(self, name: str = "", follow_links: bool = False) -> Iterator[tuple[bytes, int]]:
        """Yield every file below a folder: its path relative to it and its size in bytes, in no particular order.

        Memory holds a page of 1,000 names on S3, one name locally and one folder's names elsewhere. On S3 a path is a
        key to the letter: it may hold empty segments, and end in ``/`` (a folder marker). Paths are bytes because a
        local name need not be UTF-8. Local links, to files and folders, are followed to what lies inside that folder,
        or anywhere with ``follow_links``. One that leads elsewhere or round in a loop is yielded with the size
        NOT_FOLLOWED. Raises OSError for a folder that cannot be listed.
        """
        root = self.path(name)
        folders = [root]
        while folders:
            for info in persist(partial(self.filesystem.get_file_info, fs.FileSelector(folders.pop()))):
                if info.type == fs.FileType.Directory:
                    folders.append(info.path)
                else:
                    yield info.path[len(root) :].lstrip("/").encode(), info.size or 0

    def remove(self, name: str) -> None:
        """Delete an object; nothing happens where there is none."""
        with suppress(FileNotFoundError):
            persist(partial(self.filesystem.delete_file, self.path(name)))

    def remove_tree(self, name: str = "") -> None:
        """Delete a folder and all below it; nothing happens where there is none."""
        if self.info(name).type == fs.FileType.Directory:
            persist(partial(self.filesystem.delete_dir, self.path(name)))

    def check_writable(self) -> None:
        """Raises OSError if nothing can be written here; leaves nothing."""
        probe = f".probe-{uuid.uuid4().hex}"  # its own, because another run may be trying too
        self.write(probe, b"")
        self.remove(probe)

    def refuse_links(self, name: str) -> None:
        """Raises RunError if a link on the way to ``name`` may lead out of the store."""

    def persist(self, read: Callable[[], T]) -> T:
        """``read()`` of a file from ``open``, tried again where that helps.

        A damaged Parquet file raises the same OSError as a network that failed, so only stores whose ``open`` makes no
        tries of its own try the whole of it again.
        """
        return persist(read)

    def blame(self, read: Callable[[], T]) -> T:
        """``read()``; if it raises an OSError, find out what is to blame: the one object, or the whole store.

        Raises OutOfReach if ``root`` cannot be seen. When the network is down or the credentials have expired every
        read fails, and that must stop the work, not turn a whole collection into unreadable samples. Otherwise raises
        what ``read()`` raised.
        """
        try:
            return read()
        except OSError as failure:
            try:
                gone = self.info().type == fs.FileType.NotFound
            except OSError as error:
                raise OutOfReach(f"{self.root}: {one_line(error)}") from error
            if gone:
                raise OutOfReach(f"{self.root}: no longer there") from failure
            raise


def _exactly(count: int, data: bytes) -> bytes:
    if len(data) != count:
        raise OSError(errno.EIO, "short read")
    return data
