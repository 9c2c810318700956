"""Names of image files: those of the input, wherever every file system and bucket can hold them.

Keys are untrusted: a name made here stays in its folder, and no two samples share one. A name is changed only

- where a segment would leave the folder (``..``), or is refused by Windows, macOS or S3: characters, reserved names, a
  dot or a space at the end, lengths. Such characters become ``_``;
- where it would be another's too, on a file system that does not tell capitals or forms of Unicode apart:
  ``photo.jpg`` and ``photo.heic``, both to become ``photo.png``. These end in ``-<sample_id>``.

The extension becomes that of the encoding, if it is not so already. Whoever lists an input sees all its keys, and finds
the names that are shared (``shared_by``). Their hashes are all that travels to those who write.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.storage.inputs.listing import CHUNK_ROWS, NO_LABEL, key_hash

MOST_BYTES = 255  # of a segment
MOST_PATH_BYTES = 800  # below DATA: with an output's own prefix below the 1,024 bytes that S3 allows
SHORT_BYTES, SHORT_FOLDERS = 100, 4  # of a segment, and so many folders: of a path that is longer

NO_HASHES = np.empty(0, np.uint64)

# Extensions that are kept, by that of an encoding.
_SAME = {".png": {"png"}, ".webp": {"webp"}, ".jpg": {"jpg", "jpeg"}}
# Extensions that are replaced. To any other the encoding's is added, so that photo.xmp is not another photo.png.
_IMAGE = re.compile(
    "apng|avif|bmp|dib|gif|heic|heif|hif|ico|j2c|j2k|jfif|jp2|jpe|jpeg|jpf|jpg|jpx|mpo|pbm|pcx|pgm|png|pnm|ppm|psd|qoi|"
    "sgi|tga|tif|tiff|webp"
)
_OF_FILES = (".png", ".webp", ".jpg", ".jpeg", ".cls", ".json")  # how files of outputs end; no folder does

_REFUSED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]')
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\U000e0000-\U000e0fff]"
)  # what some file systems leave out when they compare
_OUR_ID = re.compile(r"[0-9a-f]{32}")
_ENDS_IN_LABEL = re.compile(r"-class-\d+$")
_RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in range(10)
}


def class_folders(class_names: Sequence[str]) -> list[str]:
    """The folder of each class: its name; where two would be one folder, each ends in ``-class-<label>``.

    Readers that number classes by their sorted folders (torchvision's ImageFolder) may number them differently than the
    labels do.
    """
    fitting = [_folder(_cut(name, 2 * SHORT_BYTES)) or "class" for name in class_names]
    shared = Counter(_folded(name) for name in fitting)
    return [
        f"{name}-class-{label}" if shared[_folded(name)] > 1 or _ENDS_IN_LABEL.search(_folded(name)) else name
        for label, name in enumerate(fitting)
    ]


class Names:
    """The name of each image's own file, relative to the folder DATA.

    ``extension`` is that of the encoding, as in ``.png``. ``dots``: whether the stem of a name may hold dots, and an
    extension that means the same (``.JPEG``) is kept. ``shared``: what ``shared_by`` found.
    """

    def __init__(
        self, class_names: Sequence[str], extension: str, dots: bool = True, shared: np.ndarray = NO_HASHES
    ) -> None:
        self.class_names = class_names
        self.extension = extension
        self.dots = dots
        self.shared = shared
        self._folders = class_folders(class_names)

    def name(self, sample_id: str, key: str, label: int) -> str:
        """The name of a sample's file."""
        folder, stem, extension = self._parts(key, label)
        plain = f"{folder}/{stem}{extension}"
        if len(self.shared) and _among(self.shared, np.array([_hash(plain)], np.uint64))[0]:
            return _marked(folder, stem, extension, sample_id)
        return plain

    def is_changed(self, name: str, key: str, label: int) -> bool:
        """Whether more than the extension is not the key's. ``name``: that of the sample."""
        class_name = self.class_names[label]
        stem, extension = self._stem(key.removeprefix(f"{class_name}/"))
        return name != f"{class_name}/{stem}{extension}"

    def shared_by(self, table: pa.Table) -> np.ndarray:
        """The hashes, uint64, sorted, of the names that several samples of a listing would have: those are marked.

        ``table`` has the columns sample_id, key and label. Memory: 8 bytes a row, twice.
        """
        plain = np.concatenate([NO_HASHES, *(self._hashes(rows) for rows in _labelled(table))])
        plain.sort()
        shared = found = np.unique(plain[1:][plain[1:] == plain[:-1]])
        while len(found):  # a name as it is may be the one that another sample gets
            marked = np.unique(np.concatenate([self._marked_hashes(rows, found) for rows in _labelled(table)]))
            found = marked[_among(plain, marked) & ~_among(shared, marked)]
            shared = np.union1d(shared, found)
        return shared

    def _hashes(self, rows: pa.RecordBatch) -> np.ndarray:
        """Uint64 [n], of the names of rows of a listing that are not marked."""
        parts = map(self._parts, rows["key"].to_pylist(), rows["label"].to_pylist())
        return np.fromiter((_hash(f"{folder}/{stem}{end}") for folder, stem, end in parts), np.uint64, rows.num_rows)

    def _marked_hashes(self, rows: pa.RecordBatch, shared: np.ndarray) -> np.ndarray:
        """Uint64 [n], of the names of those rows that have ``shared`` names."""
        rows = rows.filter(pa.array(_among(shared, self._hashes(rows))))
        columns = (rows[name].to_pylist() for name in ("key", "label", "sample_id"))
        names = (_marked(*self._parts(key, label), sample_id) for key, label, sample_id in zip(*columns, strict=True))
        return np.fromiter(map(_hash, names), np.uint64, rows.num_rows)

    def replaced(self, key: str) -> str | None:
        """The extension of a key that is replaced, as in ``.jpg``, or ``none``; None where it means the same."""
        extension = key[len(self._stem(key)[0]) :].lower()
        return None if extension[1:] in _SAME[self.extension] else extension or "none"

    def _stem(self, file: str) -> tuple[str, str]:
        """The name of a file without its extension, and the extension that it gets."""
        stem, _, extension = file.rpartition(".")
        kind = extension.lower()
        if not stem.rpartition("/")[2].strip(".") or not _IMAGE.fullmatch(kind):
            return file, self.extension
        return stem, f".{extension}" if self.dots and kind in _SAME[self.extension] else self.extension

    def _parts(self, key: str, label: int) -> tuple[str, str, str]:
        """The folder, stem and extension of a name that no other sample has."""
        path, extension = self._stem(key.removeprefix(f"{self.class_names[label]}/"))
        *folders, stem = path.split("/")
        top = self._folders[label]
        folder = "/".join([top, *filter(None, map(_folder, folders))])
        stem = self._fitting(stem, MOST_BYTES - len(extension))
        if len(f"{folder}/{stem}{extension}".encode()) > MOST_PATH_BYTES:
            some = [_folder(_cut(segment, SHORT_BYTES)) for segment in folder.split("/")[1:][:SHORT_FOLDERS]]
            folder, stem = "/".join([top, *filter(None, some)]), self._fitting(stem, SHORT_BYTES)
        return folder, stem, extension

    def _fitting(self, stem: str, most: int) -> str:
        stem = stem if self.dots else stem.replace(".", "_")
        return _cut(_unreserved(_REFUSED.sub("_", stem)), most) or "image"


def _labelled(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """The rows that have a label, some at a time."""
    for batch in table.select(["key", "label", "sample_id"]).to_batches(CHUNK_ROWS):
        yield batch.filter(pc.not_equal(batch["label"], NO_LABEL))


def _among(ordered: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Whether each hash is in ``ordered``, which is not empty."""
    return ordered[np.minimum(np.searchsorted(ordered, hashes), len(ordered) - 1)] == hashes


def _hash(name: str) -> int:
    return int.from_bytes(key_hash(_folded(name), 8))


def _marked(folder: str, stem: str, extension: str, sample_id: str) -> str:
    """Ends in a sample_id of ours, or in the hash of one that a user's Parquet brought: longer, so they never meet."""
    mark = sample_id if _OUR_ID.fullmatch(sample_id) else key_hash(sample_id, 20).hex()
    return f"{folder}/{_cut(stem, MOST_BYTES - len(extension) - len(mark) - 1)}-{mark}{extension}"


def _folder(segment: str) -> str:
    """A folder's name, maybe none: ``..`` and the like are left out."""
    fitting = _cut(_unreserved(_REFUSED.sub("_", segment)), MOST_BYTES - 1).rstrip(". ")
    return f"{fitting}_" if fitting.lower().endswith(_OF_FILES) else fitting


def _unreserved(segment: str) -> str:
    """Windows takes what stands before the first dot for a device."""
    device, dot, rest = segment.partition(".")
    if unicodedata.normalize("NFKC", device).rstrip(" ").casefold() in _RESERVED:
        return f"{device.rstrip(' ')}_{dot}{rest}"
    return segment


def _cut(text: str, most: int) -> str:
    return text if len(text) * 4 <= most else text.encode(errors="replace")[:most].decode(errors="ignore")


def _folded(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    if name.isascii():
        return name.lower()
    text = unicodedata.normalize("NFKC", _UNSEEN.sub("", name)).casefold()
    return unicodedata.normalize("NFKC", text)
