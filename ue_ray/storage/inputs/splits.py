"""Splits of a data set (train, test, ...): which ones lie at a place, and which one is read."""

import re
from collections.abc import Iterable, Sequence

from pyarrow import fs

from ue_ray.errors import UserError
from ue_ray.storage.inputs.labels import first_names
from ue_ray.storage.inputs.visible import is_visible
from ue_ray.storage.store import Store

TRAIN = "train"
USUAL = (TRAIN, "validation", "valid", "val", "test")

_USUAL = "|".join(USUAL)
_FILE = re.compile(rf"(?:.*/)?(?P<split>{_USUAL})[-_.][^/]*")  # test.parquet, data/train-0.parquet
_FOLDER = re.compile(rf"(?:.*/)?(?P<split>{_USUAL})/.*")  # train/0000.parquet, default/train/part-0.parquet
_SHARD = re.compile(r"(?:.*/)?(?P<split>[\w.]+)-\d{5}-of-\d{5}(?:-\w+)?\.[^/]*")  # extra-00000-of-00002.parquet
_CONVERTED = re.compile(r"(?:.*/)?(?P<split>[^/]+)/\d{4}\.[^/]*")  # default/extra/0000.parquet


def split_of(name: str) -> str | None:
    """The split that a Parquet file belongs to by its relative path, named as the Hugging Face Hub does; or None."""
    for pattern in (_FILE, _FOLDER, _SHARD, _CONVERTED):
        if match := pattern.fullmatch(name):
            return match["split"]
    return None


def splits_of_files(names: Iterable[str]) -> tuple[str, ...]:
    """The splits of Parquet files, by their relative paths; the usual names first."""
    return _ordered({split for name in names if (split := split_of(name))})


def splits_of_folder(store: Store, uri: str) -> tuple[str, ...]:
    """The splits of an image folder: its top folders, if all have usual names and hold class folders.

    None where one of them holds no folder: they are classes, then. A later split may lack classes of the first. Raises
    UserError where it has others.
    """
    splits = _ordered(_folders(store))
    if not set(splits) <= set(USUAL):
        return ()
    classes = {split: _folders(store, split) for split in splits}
    if not all(classes.values()):
        return ()
    for split in splits[1:]:
        if not set(classes[split]) <= set(classes[splits[0]]):
            raise UserError(
                f"{uri}: {splits[0]} and {split} look like splits, but {splits[0]} has the classes "
                f"{first_names(classes[splits[0]])} and {split} has {first_names(classes[split])}: "
                f"give one of them as the input, or --labels '{{label}}/**' if they are classes"
            )
    return splits


def chosen_split(uri: str, splits: Sequence[str], split: str | None) -> str | None:
    """The one of ``splits`` to read: ``split``, else train where there are several; None to read everything.

    Names that are all unusual divide nothing unless one is asked for. Raises UserError, listing the choices, for a
    split that is not there, and for usual names without train.
    """
    if split is not None:
        if not splits:
            files = "files such as train-00000-of-00002.parquet, or folders train/ and test/ of class folders"
            raise UserError(f"{uri}: no split {split!r}; expected {files}; found none")
        if split not in splits:
            raise UserError(f"{uri}: no split {split!r}; choose {' or '.join(splits)}")
        return split
    if len(splits) < 2 or not set(splits) & set(USUAL):
        return None
    if TRAIN not in splits:
        raise UserError(f"{uri}: holds the splits {', '.join(splits)}: --split chooses")
    return TRAIN


def _ordered(splits: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(splits, key=lambda split: (USUAL.index(split) if split in USUAL else len(USUAL), split)))


def _folders(store: Store, name: str = "") -> list[str]:
    """The names of the folders directly in a folder that count, sorted."""
    names = (entry.base_name for entry in store.entries(name) if entry.type == fs.FileType.Directory)
    return sorted(filter(is_visible, names))
