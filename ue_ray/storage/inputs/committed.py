"""A committed output as an input: to evaluate, to protect again, to verify what was made of it."""

import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pyarrow as pa

from ue_ray.errors import ReadFailure, UserError, one_line
from ue_ray.storage.inputs.folder import READERS
from ue_ray.storage.inputs.listing import Listing
from ue_ray.storage.outputs.formats import format_of
from ue_ray.storage.outputs.formats.base import Reader
from ue_ray.storage.outputs.layout import MANIFEST
from ue_ray.storage.outputs.output import Output
from ue_ray.storage.outputs.shards import FileRecord

_UNREADABLE = (pa.ArrowException, OSError, tarfile.TarError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class OutputSource:
    """The protected images of the committed output ``uri``, in any format, in the order in which they were listed.

    Their sample_ids, keys, labels and class names are those of the output's own input.
    """

    uri: str
    split: ClassVar[str | None] = None
    splits: ClassVar[tuple[str, ...]] = ()

    def list(self) -> Listing:
        try:
            manifest = Output(self.uri).manifest()
            files, class_names = [FileRecord(**file) for file in manifest["files"]], manifest["class_names"]
        except _UNREADABLE as error:
            raise UserError(
                f"{self.uri}: its {MANIFEST} cannot be read: {type(error).__name__}: {one_line(error)}"
            ) from None
        recorded = [(format.reader(self.uri), file) for file in files if (format := format_of(file.name))]
        if not recorded:
            raise UserError(f"{self.uri}: holds no protected image: every input was rejected")
        with ThreadPoolExecutor(READERS) as pool:
            parts = list(pool.map(lambda pair: _rows(*pair), recorded))
        # Few chunks: taking rows from many is slow.
        return Listing(pa.concat_tables(parts).combine_chunks(), class_names).check(self.uri)

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        # All files of an output have one format.
        if rows.num_rows and (format := format_of(rows["file"][0].as_py())):
            yield from format.reader(self.uri).images(rows)


def _rows(reader: Reader, file: FileRecord) -> pa.Table:
    """The listing of one recorded file, with the column ``file``, its name."""
    where = f"{reader.uri}: {file.name}"
    try:
        rows = reader.store.persist(partial(reader.rows, file.name))
    except _UNREADABLE as error:
        raise UserError(f"{where}: cannot be read: {type(error).__name__}: {one_line(error)}") from None
    if rows.num_rows != file.rows:
        raise UserError(f"{where}: holds {rows.num_rows:,} images, the manifest records {file.rows:,}")
    return rows.append_column("file", pa.repeat(file.name, file.rows))
