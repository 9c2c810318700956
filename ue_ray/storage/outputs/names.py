"""Names of exported files. Keys are untrusted: a name made here stays in its folder, and no two samples share one.

No worker sees all keys, so uniqueness must follow from one sample alone. A key that is *plain* is kept: nothing but
lower-case ASCII letters, digits, ``_`` and ``-``, the class as its top folder, the output's own extension. Two plain
keys differ on every file system. Any other keeps the readable part of its path and ends in the sample_id, which is
unique: ``Cats/My Photo.JPG`` -> ``Cats/My_Photo-<sample_id>.png``. That covers a changed extension too, because
``photo.jpg`` and ``photo.png`` may both exist. A stem holds no dot (WebDataset cuts a name at its first one) and a file
always has one, so that a file never takes the name of a folder.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from ue_ray.storage.inputs.listing import key_hash
from ue_ray.storage.inputs.listing import sample_id as id_of_key

MOST_BYTES = 100  # of a cleaned segment: with mark, extension and the suffix of a file being written still below 255
MOST_FOLDERS = 4  # below the class; with MOST_BYTES this keeps an object's key below the 1,024 bytes that S3 allows

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]*")
_EXTENSION = re.compile(r"(?<=.)\.[A-Za-z0-9]{1,5}$")
_OUR_ID = re.compile(r"[0-9a-f]{32}")
_ENDS_IN_MARK = re.compile(r"-(?:[0-9a-f]{32}|[0-9a-f]{40})$")
_ENDS_IN_LABEL = re.compile(r"-class-\d+$")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def class_folders(class_names: Sequence[str]) -> list[str]:
    """The folder of each class: its name, cleaned; where two would be one folder, each ends in ``-class-<label>``.

    All classes are known, so here names with capitals and other scripts are kept. Readers that number classes by their
    sorted folders (torchvision's ImageFolder) may number them differently than the labels do.
    """
    cleaned = [_cleaned(name) or "class" for name in class_names]
    shared = Counter(_folded(name) for name in cleaned)
    return [
        f"{name}-class-{label}" if shared[_folded(name)] > 1 or _ENDS_IN_LABEL.search(_folded(name)) else name
        for label, name in enumerate(cleaned)
    ]


def export_name(key: str, sample_id: str, class_name: str, extension: str) -> str:
    """The name of a sample's file below its class folder, with ``/``: pure, safe and no other sample's (see above).

    ``extension`` is that of the image's encoding, as in ``.png``.
    """
    inside = key.removeprefix(f"{class_name}/")
    *folders, file = inside.split("/")
    stem = file.removesuffix(extension)
    if (
        sample_id == id_of_key(key)  # or another sample might have this key
        and inside != key
        and stem != file
        and len(folders) <= MOST_FOLDERS
        and all(_is_plain(segment) for segment in (*folders, stem))
        and not _ENDS_IN_MARK.search(stem)
    ):
        return inside
    kept = [segment for folder in folders if (segment := _cleaned(folder))]
    stem = _cleaned(_EXTENSION.sub("", file)) or "image"
    return "/".join([*kept[:MOST_FOLDERS], f"{stem}-{_mark(sample_id)}{extension}"])


def _is_plain(segment: str) -> bool:
    return bool(_PLAIN.fullmatch(segment)) and len(segment) <= MOST_BYTES and segment not in _RESERVED


def _cleaned(segment: str) -> str:
    """What is harmless of one path segment, maybe nothing: letters and digits of any script, ``_`` and ``-``.

    NFKC comes first, so that a look-alike of a dot or a slash is judged as what it looks like.
    """
    text = unicodedata.normalize("NFKC", segment)
    text = "".join(mark if unicodedata.category(mark)[0] in "LMN" or mark == "-" else "_" for mark in text)
    text = re.sub("_+", "_", text).encode()[:MOST_BYTES].decode(errors="ignore").strip("_-")
    return f"{text}_" if text.casefold() in _RESERVED else text


def _folded(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _mark(sample_id: str) -> str:
    """A sample_id of ours, or the hash of an id that a user's Parquet brought: longer, so the two never meet."""
    if _OUR_ID.fullmatch(sample_id):
        return sample_id
    return key_hash(sample_id, 20).hex()
