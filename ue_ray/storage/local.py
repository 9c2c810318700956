"""A folder on this machine's file system."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import AnyStr, TypeVar
from uuid import uuid4

from pyarrow import fs

from ue_ray.errors import RunError
from ue_ray.storage.store import NOT_FOLLOWED, Store

T = TypeVar("T")

# Characters of a file's name in that of the file that is being written: a name may take all 255 bytes itself.
SHOWN = 40


class LocalStore(Store):
    """A local folder; ``root`` is an absolute path."""

    def __init__(self, filesystem: fs.LocalFileSystem, root: str) -> None:
        super().__init__(filesystem, root)

    @property
    def location(self) -> tuple[str, ...]:
        return ("local", *os.path.realpath(self.root).split("/"))

    @contextmanager
    def fetched(self, name: str) -> Iterator[str]:
        yield self.path(name)

    def create_exclusive(self, name: str, data: bytes) -> bool:
        with _staging(self.path(name)) as staging:
            with open(staging, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(staging, self.path(name))  # unlike a rename, this replaces nothing
            except FileExistsError:
                return False
        return True

    @contextmanager
    def staged(self, name: str = "", folder: str | None = None) -> Iterator[str]:
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with _staging(path, folder and self.path(folder)) as staging:
            yield staging
            with open(staging, "rb") as file:
                os.fsync(file.fileno())  # or a power cut could leave the new name with no content
            os.replace(staging, path)

    def leads_out(self, name: str) -> bool:
        return not _holds(os.path.realpath(self.root), os.path.realpath(self.path(name)))

    def walk(self, name: str = "", follow_links: bool = False) -> Iterator[tuple[bytes, int]]:
        root = os.fsencode(self.path(name))
        real_root = os.path.realpath(root)
        folders: list[_Folder] = [(b"", real_root, ())]
        while folders:
            folder, real_folder, left = folders.pop()
            with os.scandir(os.path.join(root, folder)) as entries:
                for entry in entries:
                    path, real, behind = os.path.join(folder, entry.name), os.path.join(real_folder, entry.name), left
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if entry.is_symlink():
                        real, behind = os.path.realpath(real), (*left, real_folder)
                        is_folder = os.path.isdir(real)
                        inside = follow_links or _holds(real_root, real)
                        if not inside or (is_folder and _may_loop(real, behind)):
                            yield path, NOT_FOLLOWED
                            continue
                    if is_folder:
                        folders.append((path, real, behind))
                    else:
                        yield path, _size(entry)

    def check_writable(self) -> None:
        """Asks the nearest folder that exists for its permissions."""
        path = self.root
        while not os.path.lexists(path):
            path = os.path.dirname(path)
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def refuse_links(self, name: str) -> None:
        folder = self.root
        for segment in name.split("/")[:-1]:
            folder = os.path.join(folder, segment)
            if os.path.islink(folder):
                raise RunError(f"{folder}: is a link, which may lead out of the output; nothing is written there")

    def persist(self, read: Callable[[], T]) -> T:
        return read()  # a damaged file stays damaged


MOST_LINKS = 2
"""To folders, on one path: folders that all link to each other have as many paths as there are orders of them."""

_Folder = tuple[bytes, bytes, tuple[bytes, ...]]  # its path, where it really is, where the links on its path lie


def _may_loop(real: bytes, behind: tuple[bytes, ...]) -> bool:
    return len(behind) > MOST_LINKS or any(_holds(real, folder) for folder in behind)


def _holds(folder: AnyStr, path: AnyStr) -> bool:
    """Whether ``path`` is in ``folder`` or is it; both real."""
    return os.path.commonpath([folder, path]) == folder


def _size(entry: os.DirEntry[bytes]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a broken link: listed all the same, so that it is rejected and not forgotten
        return 0


@contextmanager
def _staging(path: str, folder: str | None = None) -> Iterator[str]:
    """A name to write in ``folder`` or beside ``path``; the folder is made, and what is left there is removed."""
    beside, name = os.path.split(path)
    folder = folder or beside
    os.makedirs(folder, exist_ok=True)
    # Ends in .tmp, so that a leftover of a killed writer is never taken for a shard; unique, so that two attempts
    # at the same file do not write into each other.
    staging = os.path.join(folder, f".{name[:SHOWN]}.{uuid4().hex}.tmp")
    try:
        yield staging
    finally:
        with suppress(FileNotFoundError):
            os.unlink(staging)
