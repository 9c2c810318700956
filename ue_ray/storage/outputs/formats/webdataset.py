"""``data/part-00000.tar``: three files a sample, as WebDataset groups them.

``cats/1.png`` the image, ``cats/1.cls`` the label as text, ``cats/1.json`` sample_id, key, label,
class name, psnr and ssim.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa

from ue_ray.errors import ReadFailure
from ue_ray.images.quality import Likeness
from ue_ray.storage.inputs.folder import MAX_FILE_BYTES, READERS, TOO_LARGE, attempt
from ue_ray.storage.outputs.formats.base import Entry, Format, Place, Reader, Writer
from ue_ray.storage.outputs.layout import TAR_PART
from ue_ray.storage.store import Store

_ROWS = pa.schema(
    [
        ("sample_id", pa.string()),
        ("key", pa.string()),
        ("label", pa.int64()),
        ("nbytes", pa.int64()),
        ("offset", pa.int64()),  # of the image in the tar
    ]
)
_BUFFER = 1 << 20  # small images come many to a request, and of large ones most is never asked for


class WebDatasetWriter(Writer):
    """A tar without times, owners or anything else that would differ from run to run."""

    def __init__(self, staging: str, place: Place) -> None:
        super().__init__(staging, place)
        self._tar = tarfile.open(staging, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def add(self, entry: Entry, likeness: Likeness) -> None:
        name = self.place.names.name(entry.sample_id, entry.key, entry.label)
        stem = name.removesuffix(self.place.names.extension)
        facts = {
            "sample_id": entry.sample_id,
            "key": entry.key,
            "label": entry.label,
            "class_name": self.place.names.class_names[entry.label],
            **vars(likeness),
        }
        self._write(name, entry.image)
        self._write(f"{stem}.cls", str(entry.label).encode())
        self._write(f"{stem}.json", json.dumps(facts, sort_keys=True).encode())

    def close(self) -> None:
        self._tar.close()

    def discard(self) -> None:
        self._tar.close()

    def _write(self, name: str, data: bytes) -> None:
        header = tarfile.TarInfo(name)  # its defaults: time 0, user and group 0 without names
        header.size = len(data)
        header.mode = 0o644
        self._tar.addfile(header, io.BytesIO(data))


class WebDatasetReader(Reader):
    def read(self, path: str) -> Iterator[Entry | str]:
        with tarfile.open(path, "r:") as tar:
            while image := tar.next():
                members = [image, tar.next(), tar.next()]
                contents = [tar.extractfile(member) if member else None for member in members]
                data, _, facts = (content.read() if content else b"" for content in contents)
                said = json.loads(facts)
                yield Entry(said["sample_id"], said["key"], said["label"], data)

    def rows(self, name: str) -> pa.Table:
        columns: dict[str, list] = {name: [] for name in ("sample_id", "key", "label", "nbytes", "offset")}
        with (
            self.store.open(name) as file,
            tarfile.open(fileobj=io.BufferedReader(file, _BUFFER), mode="r:") as tar,
        ):
            while image := tar.next():
                tar.next()  # the label, which the facts repeat
                facts = _facts(tar)
                for column in ("sample_id", "key", "label"):
                    columns[column].append(facts[column])
                columns["nbytes"].append(image.size)
                columns["offset"].append(image.offset_data)
        return pa.table(columns, _ROWS)

    def images(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        places = [rows[name].to_pylist() for name in ("file", "offset", "nbytes")]
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, rows.num_rows, READERS):  # a window at a time bounds the bytes held
                window = [column[start : start + READERS] for column in places]
                yield from pool.map(partial(_image, self.store), *window)


def _facts(tar: tarfile.TarFile) -> dict[str, Any]:
    """The next file of ``tar`` as JSON. Raises ValueError if it is none."""
    member = tar.next()
    content = tar.extractfile(member) if member else None
    return json.loads(content.read() if content else b"")


def _image(store: Store, name: str, offset: int, size: int) -> bytes | ReadFailure:
    if size > MAX_FILE_BYTES:
        return TOO_LARGE
    return attempt(store, partial(store.read_range, name, offset, size))


WEBDATASET = Format(TAR_PART, WebDatasetWriter, WebDatasetReader, dots=False)
