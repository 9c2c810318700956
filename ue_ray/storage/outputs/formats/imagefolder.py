"""``data/<class>/<name>``: a file an image, as torchvision's ImageFolder reads it, and ``index/part-00000.parquet``.

The index is the shard's recorded file: it names each image with its size and SHA-256, and the manifest names the index
with its own. An image that no index names is no part of the output.

ImageFolder numbers the classes by their folders, sorted; the index holds our labels.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ue_ray.errors import ReadFailure
from ue_ray.images.quality import Likeness
from ue_ray.storage.filesystem import join
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.outputs.formats.base import Entry, Format, Place, Reader, Writer
from ue_ray.storage.outputs.layout import DATA, INDEX_PART

_THREADS = 16  # hide the latency of an object store, or of a disk that is told to keep what it has
_PENDING_BYTES = 32 << 20

_INDEX = pa.schema(
    [
        ("name", pa.string()),  # relative to data/
        ("sample_id", pa.string()),
        ("key", pa.string()),
        ("label", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("psnr", pa.float64()),
        ("ssim", pa.float64()),
    ]
)


class ImageFolderWriter(Writer):
    """Images are published as they come, each whole or absent; the index, which makes them count, comes last.

    Nothing is taken back when the shard is dropped: another attempt at it may have written the same files.
    """

    def __init__(self, staging: str, place: Place) -> None:
        super().__init__(staging, place)
        self._pool = ThreadPoolExecutor(_THREADS)
        self._pending: deque[tuple[Future[None], int]] = deque()
        self._pending_bytes = 0
        self._rows: list[dict[str, Any]] = []

    def add(self, entry: Entry, likeness: Likeness) -> None:
        name = self.place.names.name(entry.sample_id, entry.key, entry.label)
        size = len(entry.image)
        while self._pending and (len(self._pending) >= _THREADS or self._pending_bytes + size > _PENDING_BYTES):
            self._wait()
        self._pending.append((self._pool.submit(self._publish, f"{DATA}/{name}", entry.image), size))
        self._pending_bytes += size
        digest = hashlib.sha256(entry.image).hexdigest()
        self._rows.append(
            {
                "name": name,
                "sample_id": entry.sample_id,
                "key": entry.key,
                "label": entry.label,
                "bytes": size,
                "sha256": digest,
                **vars(likeness),
            }
        )

    def close(self) -> None:
        while self._pending:
            self._wait()
        self._pool.shutdown()
        pq.write_table(pa.Table.from_pylist(self._rows, _INDEX), self.staging, compression="zstd")

    def discard(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    @staticmethod
    def forget(place: Place, sample_id: str, key: str, label: int) -> None:
        place.remove(f"{DATA}/{place.names.name(sample_id, key, label)}")

    def _publish(self, name: str, data: bytes) -> None:
        with self.place.staged(name) as staging, open(staging, "wb") as file:
            file.write(data)

    def _wait(self) -> None:
        future, size = self._pending.popleft()
        self._pending_bytes -= size
        future.result()


class ImageFolderReader(Reader):
    def others(self, path: str) -> list[str]:
        names = pq.read_table(path, columns=["name"])["name"]
        return [f"{DATA}/{name}" for name in names.to_pylist()]

    def read(self, path: str) -> Iterator[Entry | str]:
        def image(row: dict[str, Any]) -> Entry | str:
            name = f"{DATA}/{row['name']}"
            try:
                data = self.store.blame(partial(self.store.read, name))
            except OSError as error:
                return f"{name}: {'missing' if isinstance(error, FileNotFoundError) else 'cannot be read'}"
            if hashlib.sha256(data).hexdigest() != row["sha256"]:
                return f"{name}: sha256 differs from the index"
            return Entry(row["sample_id"], row["key"], row["label"], data)

        with ThreadPoolExecutor(_THREADS) as pool, pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_THREADS):
                yield from pool.map(image, batch.to_pylist())

    def rows(self, name: str) -> pa.Table:
        with self.store.open(name) as opened, pq.ParquetFile(opened) as file:
            index = file.read()
        columns = {name: index[name] for name in ("sample_id", "key", "label")}
        return pa.table(columns | {"nbytes": index["bytes"], "path": index["name"].cast(pa.binary())})

    def images(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        return FolderSource(join(self.uri, DATA)).read(rows)


IMAGEFOLDER = Format(INDEX_PART, ImageFolderWriter, ImageFolderReader, dots=True)
