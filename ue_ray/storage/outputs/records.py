"""What says that a shard is done: its record, written after its files, so that a run that goes on can keep it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pyarrow import fs

from ue_ray.storage.filesystem import blame, join, read_if_there, resolve, write_bytes
from ue_ray.storage.outputs.formats import Entry, format_of
from ue_ray.storage.outputs.formats.base import WORK
from ue_ray.storage.outputs.shards import ShardRecord, measured
from ue_ray.storage.retry import persist


def write_record(root_uri: str, index: int, text: str) -> None:
    write_bytes(_place(root_uri, index), text.encode())


def read_record(root_uri: str, index: int) -> str | None:
    """The text that ``write_record`` was given; None if there is none."""
    text = read_if_there(_place(root_uri, index))
    return text.decode() if text else None


def is_intact(root_uri: str, record: ShardRecord) -> bool:
    """Whether each of the shard's files is there with the recorded size and SHA-256: each is read again."""
    filesystem, root = resolve(root_uri)
    for file in record.files:
        try:
            with fetched(filesystem, root, file.name) as (path, size, sha256):
                if (size, sha256) != (file.bytes, file.sha256):
                    return False
                kind = format_of(file.name)
                if kind and kind.others(path) and not all(isinstance(e, Entry) for e in kind.read(path, root_uri)):
                    return False  # one of the files that this one names
        except OSError:
            return False
    return True


@contextmanager
def fetched(filesystem: fs.FileSystem, root: str, name: str) -> Iterator[tuple[str, int, str]]:
    """A local file with the content of ``name`` below ``root``, its size in bytes and SHA-256 (hex).

    What is elsewhere crosses the network once. Raises FileNotFoundError or another OSError, and OutOfReach.
    """
    if isinstance(filesystem, fs.LocalFileSystem):
        path = os.path.join(root, name)
        yield path, *measured(path)
        return
    with tempfile.NamedTemporaryFile() as copy:

        def fetch() -> None:
            with filesystem.open_input_stream(f"{root}/{name}") as stream, open(copy.name, "wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)

        blame(filesystem, root, partial(persist, fetch))
        yield copy.name, *measured(copy.name)


def _place(root_uri: str, index: int) -> str:
    return join(root_uri, WORK, "records", f"part-{index:05d}.json")
