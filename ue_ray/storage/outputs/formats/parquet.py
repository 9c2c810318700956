"""``data/part-00000.parquet``: sample_id, image, label, psnr and ssim, as Hugging Face datasets reads them."""

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ue_ray.errors import ReadFailure
from ue_ray.images.quality import Likeness
from ue_ray.storage.inputs.parquet import ParquetSource, mean_image_bytes
from ue_ray.storage.outputs.formats.base import Entry, Format, Place, Reader, Writer
from ue_ray.storage.outputs.layout import PARQUET_PART

_FLUSH_ROWS = 256
_FLUSH_BYTES = 8 << 20
_READ_ROWS = 16

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class ParquetWriter(Writer):
    """Rows go to disk in small row groups."""

    def __init__(self, staging: str, place: Place) -> None:
        super().__init__(staging, place)
        self._schema = _schema(place.names.class_names)
        self._pending: list[dict] = []
        self._pending_bytes = 0
        self._writer = pq.ParquetWriter(
            staging,
            self._schema,
            # An encoded image does not compress further; ids and labels do.
            compression={
                "sample_id": "zstd",
                "image.bytes": "none",
                "image.path": "zstd",
                "label": "zstd",
                "psnr": "zstd",
                "ssim": "zstd",
            },
            use_dictionary=["label"],
            write_statistics=["label", "psnr", "ssim"],
        )

    def add(self, entry: Entry, likeness: Likeness) -> None:
        image = {"bytes": entry.image, "path": entry.key}
        row = {"sample_id": entry.sample_id, "image": image, "label": entry.label, **vars(likeness)}
        self._pending.append(row)
        self._pending_bytes += len(entry.image)
        if len(self._pending) >= _FLUSH_ROWS or self._pending_bytes >= _FLUSH_BYTES:
            self._flush()

    def close(self) -> None:
        if self._pending:
            self._flush()
        self._writer.close()

    def discard(self) -> None:
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._pending, self._schema))
        self._pending, self._pending_bytes = [], 0


class ParquetReader(Reader):
    def read(self, path: str) -> Iterator[Entry | str]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_READ_ROWS, columns=["sample_id", "image", "label"]):
                for row in batch.to_pylist():
                    yield Entry(row["sample_id"], row["image"]["path"], row["label"], row["image"]["bytes"])

    def rows(self, name: str) -> pa.Table:
        with self.store.open(name) as opened, pq.ParquetFile(opened) as file:
            columns = file.read(columns=["sample_id", "image.path", "label"])
            nbytes = mean_image_bytes(file.metadata)
        return pa.table(
            {
                "sample_id": columns["sample_id"],
                "key": pc.struct_field(columns["image"], "path"),
                "label": columns["label"],
                "nbytes": pa.array(nbytes),
                "row": pa.array(np.arange(len(nbytes))),
            }
        )

    def images(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        return ParquetSource(self.uri).read(rows)


def _schema(class_names: Sequence[str]) -> pa.Schema:
    """The columns, with the Hugging Face features that make ``datasets`` show images and class names."""
    features = {
        "sample_id": {"dtype": "string", "_type": "Value"},
        "image": {"_type": "Image"},
        "label": {"names": list(class_names), "_type": "ClassLabel"},
        "psnr": {"dtype": "float64", "_type": "Value"},
        "ssim": {"dtype": "float64", "_type": "Value"},
    }
    return pa.schema(
        [
            ("sample_id", pa.string()),
            ("image", _IMAGE),
            ("label", pa.int64()),
            ("psnr", pa.float64()),
            ("ssim", pa.float64()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


PARQUET = Format(PARQUET_PART, ParquetWriter, ParquetReader, dots=None)
