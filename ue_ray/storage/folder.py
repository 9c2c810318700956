"""A folder of class folders, on any filesystem: ``root/class/.../file``."""

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyarrow import fs

from ue_ray.errors import UserError
from ue_ray.storage.filesystem import read_twice, resolve, walk
from ue_ray.storage.listing import NO_LABEL, Listing, ReadFailure, sample_ids

MAX_FILE_BYTES = 1 << 30
"""A larger file is a ReadFailure: no image, and enough to take a worker down with it."""

_READERS = 32  # threads that hide the latency of an object store

NOT_IN_CLASS = ReadFailure("not inside a class folder")
OUTSIDE = ReadFailure("a link that leads outside the input folder")
NOT_A_FILE = ReadFailure("not a regular file")
TOO_LARGE = ReadFailure(f"file larger than {MAX_FILE_BYTES >> 30} GiB")


@dataclass(frozen=True)
class FolderSource:
    """Every file below ``uri``; its label is the index of its top folder among the sorted top folders that hold files.

    Files at the top, or in a hidden top folder (``.cache``), are in no class: listed with label -1, read as failures.
    Links are followed to files inside ``uri`` only.
    """

    uri: str

    def list(self) -> Listing:
        filesystem, root = resolve(self.uri)
        try:
            found = sorted(walk(filesystem, root))
        except OSError as error:
            raise UserError(f"{self.uri}: cannot list the folder: {error}") from error
        paths = pa.array((path for path, _ in found), pa.binary())
        # Bytes that are not UTF-8 are spelled out; ``path`` still finds the file.
        keys = [path.decode("utf-8", "backslashreplace") for path, _ in found]
        tops = np.array([_class_of(key) for key in keys], dtype=object)
        class_names = sorted(set(tops) - {""})
        index = {"": NO_LABEL} | {name: label for label, name in enumerate(class_names)}
        table = pa.table(
            {
                "sample_id": sample_ids(keys),
                "key": pa.array(keys, pa.string()),
                "label": pa.array((index[top] for top in tops), pa.int64()),
                "nbytes": pa.array((size for _, size in found), pa.int64()),
                "path": paths,
            }
        )
        return Listing(table, class_names).check(f"{self.uri} (expected one folder a class)")

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        filesystem, root = resolve(self.uri)
        if isinstance(filesystem, fs.LocalFileSystem):
            real_root = os.path.realpath(os.fsencode(root))
            for path, label in _pairs(rows):
                yield _attempt(filesystem, root, partial(_read_local, real_root, path, label))
            return
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, rows.num_rows, _READERS):  # a window at a time bounds the bytes held
                window = _pairs(rows.slice(start, _READERS))
                reads = [partial(_read_remote, filesystem, f"{root}/{path.decode()}", label) for path, label in window]
                yield from pool.map(partial(_attempt, filesystem, root), reads)


def _class_of(key: str) -> str:
    top, slash, _ = key.partition("/")
    return top if slash and not top.startswith(".") else ""


def _pairs(rows: pa.Table) -> Iterator[tuple[bytes, int]]:
    return zip(rows["path"].to_pylist(), rows["label"].to_pylist(), strict=True)


def _attempt(filesystem: fs.FileSystem, root: str, read: Callable[[], bytes | ReadFailure]) -> bytes | ReadFailure:
    try:
        return read_twice(filesystem, root, read)
    except OSError as error:
        return ReadFailure(f"cannot read: {os.strerror(error.errno) if error.errno else type(error).__name__}")


def _read_local(real_root: bytes, path: bytes, label: int) -> bytes | ReadFailure:
    real = os.path.realpath(os.path.join(real_root, path))
    if not real.startswith(os.path.join(real_root, b"")):
        return OUTSIDE
    status = os.stat(real)
    if not stat.S_ISREG(status.st_mode):  # a pipe would block for ever, a link to a folder may loop
        return NOT_A_FILE
    if label == NO_LABEL:
        return NOT_IN_CLASS
    if status.st_size > MAX_FILE_BYTES:
        return TOO_LARGE
    with open(real, "rb") as file:
        return file.read()


def _read_remote(filesystem: fs.FileSystem, path: str, label: int) -> bytes | ReadFailure:
    if label == NO_LABEL:
        return NOT_IN_CLASS
    with filesystem.open_input_file(path) as file:
        return TOO_LARGE if file.size() > MAX_FILE_BYTES else file.read()
