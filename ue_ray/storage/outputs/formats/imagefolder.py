"""``data/<class>/<name>``: a file an image, as torchvision's ImageFolder reads it, and ``index/part-00000.parquet``.

The index is the shard's recorded file: it names each image with its size and SHA-256, and the manifest names the index
with its own. An image that no index names is no part of the output.

ImageFolder numbers the classes by their folders, sorted; the index holds our labels.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from ue_ray.errors import ReadFailure
from ue_ray.storage.filesystem import blame, join, read_file, resolve
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.outputs.formats.base import Entry, Place, ShardFile

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
    ]
)


class ImageFolderShard(ShardFile):
    """Images are published as they come, each whole or absent; the index, which makes them count, comes last.

    Nothing is taken back when the shard is dropped: another attempt at it may have written the same files.
    """

    pattern = "index/part-{:05d}.parquet"

    def __init__(self, staging: str, place: Place) -> None:
        super().__init__(staging, place)
        self._pool = ThreadPoolExecutor(_THREADS)
        self._pending: deque[tuple[Future[None], int]] = deque()
        self._pending_bytes = 0
        self._rows: list[dict[str, Any]] = []

    def add(self, entry: Entry) -> None:
        name = self.place.image_name(entry.sample_id, entry.key, entry.label)
        size = len(entry.image)
        while self._pending and (len(self._pending) >= _THREADS or self._pending_bytes + size > _PENDING_BYTES):
            self._wait()
        self._pending.append((self._pool.submit(self._publish, f"data/{name}", entry.image), size))
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
        with suppress(FileNotFoundError):
            place.filesystem.delete_file(place.path(f"data/{place.image_name(sample_id, key, label)}"))

    @staticmethod
    def others(path: str) -> list[str]:
        names = pq.read_table(path, columns=["name"])["name"]
        return [f"data/{name}" for name in names.to_pylist()]

    @staticmethod
    def read(path: str, root_uri: str) -> Iterator[Entry | str]:
        filesystem, root = resolve(root_uri)

        def image(row: dict[str, Any]) -> Entry | str:
            name = f"data/{row['name']}"
            try:
                data = blame(filesystem, root, partial(read_file, filesystem, f"{root}/{name}"))
            except OSError as error:
                return f"{name}: {'missing' if isinstance(error, FileNotFoundError) else 'cannot be read'}"
            if hashlib.sha256(data).hexdigest() != row["sha256"]:
                return f"{name}: sha256 differs from the index"
            return Entry(row["sample_id"], row["key"], row["label"], data)

        with ThreadPoolExecutor(_THREADS) as pool, pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_THREADS):
                yield from pool.map(image, batch.to_pylist())

    @staticmethod
    def rows(filesystem: fs.FileSystem, path: str) -> pa.Table:
        with pq.ParquetFile(path, filesystem=filesystem) as file:
            index = file.read()
        columns = {name: index[name] for name in ("sample_id", "key", "label")}
        return pa.table(columns | {"nbytes": index["bytes"], "path": index["name"].cast(pa.binary())})

    @staticmethod
    def images(root_uri: str, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        return FolderSource(join(root_uri, "data")).read(rows)

    def _publish(self, name: str, data: bytes) -> None:
        with self.place.staged(name) as staging, open(staging, "wb") as file:
            file.write(data)

    def _wait(self) -> None:
        future, size = self._pending.popleft()
        self._pending_bytes -= size
        future.result()
