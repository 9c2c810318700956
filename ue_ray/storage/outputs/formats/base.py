"""What every format is: one recorded file a shard, written and read one image at a time."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
from pyarrow import fs

from ue_ray.errors import ReadFailure, RunError
from ue_ray.storage.filesystem import resolve, staged
from ue_ray.storage.outputs.names import class_folders, export_name

WORK = "_work"
"""The folder of an output that holds what only its unfinished run needs; gone once that is committed."""


@dataclass(frozen=True)
class Entry:
    """One protected image: ``image`` is its encoded bytes, ``label`` an index into the output's class names."""

    sample_id: str
    key: str
    label: int
    image: bytes


class Place:
    """The output that a shard belongs to: where its files go, and what the protected images are called."""

    def __init__(self, root_uri: str, class_names: list[str], extension: str = ".png") -> None:
        self.filesystem, self._root = resolve(root_uri)
        self.class_names = class_names
        self.extension = extension
        self._folders = class_folders(class_names)

    def path(self, name: str) -> str:
        """Where ``name``, relative to the output, lies. Raises RunError if a link on the way may lead elsewhere."""
        if isinstance(self.filesystem, fs.LocalFileSystem):
            folder = self._root
            for segment in name.split("/")[:-1]:
                folder = os.path.join(folder, segment)
                if os.path.islink(folder):
                    raise RunError(f"{folder}: is a link, which may lead out of the output; nothing is written there")
        return f"{self._root}/{name}"

    def staged(self, name: str) -> AbstractContextManager[str]:
        """A local file to write, published as ``name`` when the block ends; a killed writer leaves it in WORK."""
        return staged(self.filesystem, self.path(name), self.path(f"{WORK}/staging/x")[:-2])

    def image_name(self, sample_id: str, key: str, label: int) -> str:
        """The name of an image's own file, relative to ``data/``."""
        name = export_name(key, sample_id, self.class_names[label], self.extension)
        return f"{self._folders[label]}/{name}"


class ShardFile(ABC):
    """Writes the file that the manifest records for the protected images of one shard, at the local path ``staging``.

    The same entries in the same order give the same bytes. Memory holds a few images, whatever the shard's size.
    """

    pattern: ClassVar[str]
    """The file's name by the shard's index, relative to the output."""

    def __init__(self, staging: str, place: Place) -> None:
        self.staging = staging
        self.place = place

    @abstractmethod
    def add(self, entry: Entry) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Complete the file."""

    @abstractmethod
    def discard(self) -> None:
        """Let go of whatever is still open, without completing the file."""

    @staticmethod  # noqa: B027 - most formats have nothing outside the recorded file
    def forget(place: Place, sample_id: str, key: str, label: int) -> None:
        """Remove what a former attempt, in which this sample was protected, left outside the recorded file."""

    @staticmethod
    def others(path: str) -> list[str]:
        """The files, relative to the output, that the local copy ``path`` of a recorded file refers to."""
        return []

    @staticmethod
    @abstractmethod
    def read(path: str, root_uri: str) -> Iterator[Entry | str]:
        """The entries of the local copy ``path``, in order, with what it refers to in the output at ``root_uri``.

        What is not as it was recorded comes as a ``str`` in its place, one line.
        """

    @staticmethod
    @abstractmethod
    def rows(filesystem: fs.FileSystem, path: str) -> pa.Table:
        """What a listing says of the images of the recorded file at ``path``, in order, none of them read.

        Columns: sample_id, key, label and nbytes, as ``Listing`` has them, and what ``images`` finds an image by.
        """

    @staticmethod
    @abstractmethod
    def images(root_uri: str, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        """The image of each of ``rows``, as ``Source.read`` gives them.

        ``rows`` are any of what ``rows`` gave, with a column ``file``: the recorded file, relative to ``root_uri``.
        """
