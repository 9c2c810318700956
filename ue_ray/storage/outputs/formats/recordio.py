"""``data/part-00000.rec`` and its ``.idx``, as MXNet and insightface read them, and ``index/part-00000.rec.parquet``.

The label of a record is its image's, its number the image's place in the shard, which is its key in the ``.idx``. The
index is the shard's recorded file. It holds what has no place there (sample_id, key, psnr and ssim), and where each
record lies, with its SHA-256.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ue_ray.errors import ReadFailure, UserError
from ue_ray.images.quality import Likeness
from ue_ray.storage.inputs.pieces import read_pieces
from ue_ray.storage.inputs.record_file import HEADER, framed, image_of
from ue_ray.storage.inputs.recordio import image_in
from ue_ray.storage.outputs.formats.base import Entry, Format, Place, Reader, Writer
from ue_ray.storage.outputs.layout import RECORD_INDEX_PART, RECORD_KEYS_PART, RECORD_PART

_INDEX = pa.schema(
    [
        ("sample_id", pa.string()),
        ("key", pa.string()),
        ("label", pa.int64()),
        ("bytes", pa.int64()),  # of the image
        ("file", pa.string()),  # the .rec, relative to the output
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("sha256", pa.string()),  # of the record
        ("psnr", pa.float64()),
        ("ssim", pa.float64()),
    ]
)


class RecordIOWriter(Writer):
    """The records are published with the ``.idx`` as the shard is closed, before the index that makes them count."""

    def __init__(self, staging: str, place: Place) -> None:
        super().__init__(staging, place)
        self._local = f"{staging}.rec"
        self._file = open(self._local, "wb")  # noqa: SIM115
        self._rows: list[dict[str, Any]] = []

    def add(self, entry: Entry, likeness: Likeness) -> None:
        try:
            record = framed(HEADER.pack(0, entry.label, len(self._rows), 0) + entry.image)
        except ValueError as error:
            raise UserError(f"{entry.key}: {error}; choose another --format") from None
        self._rows.append(
            {
                "sample_id": entry.sample_id,
                "key": entry.key,
                "label": entry.label,
                "bytes": len(entry.image),
                "file": self.place.beside[0],
                "offset": self._file.tell(),
                "size": len(record),
                "sha256": hashlib.sha256(record).hexdigest(),
                **vars(likeness),
            }
        )
        self._file.write(record)

    def close(self) -> None:
        records, keys = self.place.beside
        self._file.close()
        with self.place.staged(records) as staging:
            os.replace(self._local, staging)
        with self.place.staged(keys) as staging, open(staging, "w") as file:
            file.write(_keys([row["offset"] for row in self._rows]))
        pq.write_table(pa.Table.from_pylist(self._rows, _INDEX), self.staging, compression="zstd")

    def discard(self) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._local)


class RecordIOReader(Reader):
    def others(self, path: str) -> list[str]:
        records = pq.read_table(path, columns=["file"])["file"][0].as_py()
        return [records, _keys_name(records)]

    def read(self, path: str) -> Iterator[Entry | str]:
        index = pq.read_table(path)
        records = index["file"][0].as_py()
        keys = self.store.read_if_there(_keys_name(records))
        if keys != _keys(index["offset"].to_pylist()).encode():
            yield f"{_keys_name(records)}: {'missing' if keys is None else f'is not the index of {records}'}"
        try:
            with self.store.fetched(records) as local, open(local, "rb") as file:
                for row in index.to_pylist():
                    record = file.read(row["size"])
                    if hashlib.sha256(record).hexdigest() != row["sha256"]:
                        yield f"{records}: {row['key']!r}: sha256 differs from the index"
                    else:
                        yield Entry(row["sample_id"], row["key"], row["label"], image_of(record))
                if file.read(1):
                    yield f"{records}: is longer than the index says"
        except FileNotFoundError:
            yield f"{records}: missing"

    def rows(self, name: str) -> pa.Table:
        with self.store.open(name) as opened, pq.ParquetFile(opened) as file:
            index = file.read()
        columns = {name: index[name] for name in ("sample_id", "key", "label", "offset", "size")}
        return pa.table(columns | {"nbytes": index["bytes"], "records": index["file"]})

    def images(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        places = (rows[name].to_pylist() for name in ("records", "offset", "size"))
        yield from map(image_in, read_pieces(self.store, *places))


def _keys(offsets: list[int]) -> str:
    return "".join(f"{key}\t{offset}\n" for key, offset in enumerate(offsets))


def _keys_name(records: str) -> str:
    return f"{records.removesuffix('.rec')}.idx"


RECORDIO = Format(RECORD_INDEX_PART, RecordIOWriter, RecordIOReader, dots=None, beside=(RECORD_PART, RECORD_KEYS_PART))
