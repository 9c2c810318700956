"""What every format is: one recorded file a shard, written and read one image at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from ue_ray.errors import ReadFailure
from ue_ray.images.quality import Likeness
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.outputs.layout import STAGING
from ue_ray.storage.outputs.names import Names


@dataclass(frozen=True)
class Entry:
    """One protected image: ``image`` is its encoded bytes, ``label`` an index into the output's class names."""

    sample_id: str
    key: str
    label: int
    image: bytes


class Place:
    """The output that a shard is written to: where its files go, the ``names`` of the images' own, and the files that
    lie ``beside`` the recorded one."""

    def __init__(self, root_uri: str, names: Names, beside: Sequence[str] = ()) -> None:
        self.names = names
        self.beside = beside
        self._store = open_store(root_uri)

    def staged(self, name: str) -> AbstractContextManager[str]:
        """A local file to write, published as ``name`` when the block ends; a killed writer leaves it in STAGING.

        Raises RunError if a link on the way may lead out of the output.
        """
        for path in (name, f"{STAGING}/x"):
            self._store.refuse_links(path)
        return self._store.staged(name, STAGING)

    def remove(self, name: str) -> None:
        """Delete ``name``; nothing happens where it is not there. Raises RunError as ``staged`` does."""
        self._store.refuse_links(name)
        self._store.remove(name)


class Writer(ABC):
    """Writes the file that the manifest records for the protected images of one shard, at the local path ``staging``.

    The same entries in the same order give the same bytes. Memory holds a few images, whatever the shard's size.
    """

    def __init__(self, staging: str, place: Place) -> None:
        self.staging = staging
        self.place = place

    @abstractmethod
    def add(self, entry: Entry, likeness: Likeness) -> None:
        """``likeness``: of the image beside its original."""

    @abstractmethod
    def close(self) -> None:
        """Complete the file."""

    @abstractmethod
    def discard(self) -> None:
        """Let go of whatever is still open, without completing the file."""

    @staticmethod  # noqa: B027 - most formats have nothing outside the recorded file
    def forget(place: Place, sample_id: str, key: str, label: int) -> None:
        """Remove what a former attempt, in which this sample was protected, left outside the recorded file."""


class Reader(ABC):
    """Reads the recorded files of the output at ``uri``."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.store = open_store(uri)

    def others(self, path: str) -> list[str]:
        """The files, relative to the output, that the local copy ``path`` of a recorded file refers to."""
        return []

    @abstractmethod
    def read(self, path: str) -> Iterator[Entry | str]:
        """The entries of the local copy ``path`` of a recorded file, in order, with what it refers to in the output.

        What is not as it was recorded comes as a ``str`` in its place, one line.
        """

    @abstractmethod
    def rows(self, name: str) -> pa.Table:
        """What a listing says of the images of the recorded file ``name``, in order, none of them read.

        Columns: sample_id, key, label and nbytes, as ``Listing`` has them, and what ``images`` finds an image by.
        """

    @abstractmethod
    def images(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        """The image of each of ``rows``, as ``Source.read`` gives them.

        ``rows`` are any of what ``rows`` gave, with a column ``file``: the name of the recorded file.
        """


@dataclass(frozen=True)
class Format:
    """How one shard's protected images are written and read; ``pattern`` names the recorded file by its index.

    ``dots``: whether the stem of an image's own name may hold dots; None where images have no names of their own.
    ``beside``: patterns of the files that a recorded file refers to by the shard's index.
    """

    pattern: str
    writer: type[Writer]
    reader: type[Reader]
    dots: bool | None
    beside: tuple[str, ...] = ()
