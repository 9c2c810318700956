"""What says that a shard is done: its record, written after its files, so that a run that goes on can keep it."""

from collections.abc import Iterator
from contextlib import contextmanager

from ue_ray.storage.filesystem import open_store
from ue_ray.storage.outputs.formats import format_of
from ue_ray.storage.outputs.formats.base import Entry
from ue_ray.storage.outputs.layout import RECORD
from ue_ray.storage.outputs.shards import ShardRecord, measured
from ue_ray.storage.store import Store


def write_record(root_uri: str, index: int, text: str) -> None:
    open_store(root_uri).write(RECORD.format(index), text.encode())


def read_record(root_uri: str, index: int) -> str | None:
    """The text that ``write_record`` was given; None if there is none."""
    text = open_store(root_uri).read_if_there(RECORD.format(index))
    return text.decode() if text else None


def is_intact(root_uri: str, record: ShardRecord) -> bool:
    """Whether each of the shard's files is there with the recorded size and SHA-256: each is read again."""
    store = open_store(root_uri)
    for file in record.files:
        try:
            with fetched(store, file.name) as (path, size, sha256):
                if (size, sha256) != (file.bytes, file.sha256):
                    return False
                if format := format_of(file.name):
                    reader = format.reader(root_uri)
                    if reader.others(path) and not all(isinstance(entry, Entry) for entry in reader.read(path)):
                        return False  # one of the files that this one names
        except OSError:
            return False
    return True


@contextmanager
def fetched(store: Store, name: str) -> Iterator[tuple[str, int, str]]:
    """A local file with the content of ``name`` in the store, its size in bytes and SHA-256 (hex).

    What is elsewhere crosses the network once. Raises FileNotFoundError or another OSError, and OutOfReach.
    """
    with store.fetched(name) as path:
        yield path, *measured(path)
