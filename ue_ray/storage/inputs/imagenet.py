"""ImageNet as it is downloaded: the tars of ILSVRC 2012, Kaggle's folders, folders of synsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import pyarrow as pa
from pyarrow import fs

from ue_ray.errors import ReadFailure, UserError
from ue_ray.storage.filesystem import absolute, join, open_store
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.imagenet_labels import (
    EXPECTED,
    SYNSET,
    UNLABELLED,
    VALIDATION,
    find_mapping,
    names_label_file,
    readable,
    stem,
    validation_synsets,
)
from ue_ray.storage.inputs.imagenet_tars import CLASS_TAR, ImageNetTars, is_training_tar, is_validation_tar
from ue_ray.storage.inputs.labels import numbered, unlabelled
from ue_ray.storage.inputs.listing import NO_LABEL, Listing
from ue_ray.storage.inputs.splits import chosen_split
from ue_ray.storage.inputs.tar_index import TarIndex
from ue_ray.storage.inputs.visible import is_visible
from ue_ray.storage.store import Store

TARS = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}
KAGGLE = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "")
"""Where a folder may hold Kaggle's ``train`` and ``val``."""

GLANCE = 10  # files that say what a folder is


@dataclass(frozen=True)
class ImageNetFolder:
    """Synset folders, called as LOC_synset_mapping.txt says; or the validation images, which lie in one folder.

    Rows, keys and ids are those of ``folder``. ``labels``: the file of the validation images' labels, if that does not
    lie beside them.
    """

    folder: FolderSource
    validation: bool = False
    labels: str | None = None

    @property
    def uri(self) -> str:
        return self.folder.uri

    @property
    def split(self) -> str | None:
        return self.folder.split

    @property
    def splits(self) -> tuple[str, ...]:
        return self.folder.splits

    def glance(self) -> None:
        """Raises the UserError of ``list`` that a first look at the folder or the labels shows."""
        if self.validation:
            validation_synsets(open_store(self.uri), self.labels, self.uri)
        else:
            self.folder.glance()

    def list(self) -> Listing:
        listing = self.folder.list()
        store = open_store(self.uri)
        if not self.validation:
            names, notes = readable(listing.class_names, store)
            return replace(listing, class_names=names, note="; ".join(filter(None, [listing.note, *notes])))
        synset_of = validation_synsets(store, self.labels, self.uri)
        keys, labels = (listing.table[name].to_pylist() for name in ("key", "label"))
        synsets = [
            None if label == NO_LABEL else synset_of.get(stem(key)) for key, label in zip(keys, labels, strict=True)
        ]
        numbers, class_names = numbered(pa.chunked_array([pa.array(synsets, pa.string())]))
        names, notes = readable(class_names, store)
        table = listing.table.set_column(listing.table.column_names.index("label"), "label", numbers)
        note = "; ".join(filter(None, [listing.note, *notes]))
        return Listing(table, names, note=note).check(self.uri)

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        images = self.folder.read(rows)
        if self.validation:
            in_no_class = ReadFailure(unlabelled(None))
            images = (ReadFailure(UNLABELLED) if image == in_no_class else image for image in images)
        yield from images


def imagenet_source(
    uri: str, store: Store, labels: str | None, split: str | None, follow_links: bool
) -> ImageNetTars | ImageNetFolder | None:
    """What lies at ``uri``, if it is ImageNet: a few requests say so. None for anything else.

    ``labels`` may name a file of the validation images' labels; a pattern or a table of keys is for any folder, and
    makes it one. Raises UserError for a split that is not there, and for labels beside tars that have their own.
    """
    if labels is not None and names_label_file(labels):
        labels = absolute(labels)
    if store.info().is_file:
        return _tar(uri, store, labels, split)
    tars = tuple(name for name, tar in TARS.items() if store.info(tar).is_file)
    if tars:
        chosen = _chosen(uri, tars, split)
        return _tar(join(uri, TARS[chosen]), store.below(TARS[chosen]), labels, None, chosen, tars)
    if labels is not None and not names_label_file(labels):
        return None
    for place in KAGGLE:
        if _is_validation(store, f"{place}/val".lstrip("/")):
            has_train = store.info(f"{place}/train".lstrip("/")).type == fs.FileType.Directory
            splits = ("train", "val") if has_train else ("val",)
            chosen = _chosen(uri, splits, split)
            folder = FolderSource(join(uri, *filter(None, [place, chosen])), None, chosen, splits, follow_links)
            return _folder(folder, chosen == "val", labels)
    if split is not None:
        return None
    first = _first_files(store)
    if any(map(CLASS_TAR.fullmatch, first)):
        _refuse_labels(uri, labels)
        return ImageNetTars(uri)
    if any(map(VALIDATION.fullmatch, first)):
        return _folder(FolderSource(uri, follow_links=follow_links), True, labels)
    return None


def with_readable_names(source: FolderSource) -> FolderSource | ImageNetFolder:
    """``source``; its synset folders are called as LOC_synset_mapping.txt says, where that is at hand."""
    store = open_store(source.uri)
    if source.labels is not None or find_mapping(store) is None:
        return source
    folders = [entry.base_name for entry in store.entries() if entry.type == fs.FileType.Directory]
    return ImageNetFolder(source) if any(map(SYNSET.fullmatch, folders)) else source


def _tar(
    uri: str,
    store: Store,
    labels: str | None,
    split: str | None,
    chosen: str | None = None,
    splits: tuple[str, ...] = (),
) -> ImageNetTars | None:
    if not uri.partition("?")[0].lower().endswith(".tar"):
        return None
    if is_training_tar(store):
        _refuse_labels(uri, labels)
    elif not is_validation_tar(store):
        if store.root.rpartition("/")[2] not in TARS.values():
            return None
        next(iter(TarIndex(store)), None)  # says what is wrong with what is no tar
        raise UserError(f"{uri}: holds neither the tars of classes (n01440764.tar) nor validation images")
    elif labels is not None and not names_label_file(labels):
        raise UserError(f"{uri}: --labels {labels!r}: expected a file of the validation images' labels ({EXPECTED})")
    if split is not None:
        raise UserError(f"{uri}: is one file; --split {split!r} cannot be used with it")
    return ImageNetTars(uri, labels, chosen, splits)


def _folder(folder: FolderSource, validation: bool, labels: str | None) -> ImageNetFolder:
    if not validation:
        _refuse_labels(folder.uri, labels)
    return ImageNetFolder(folder, validation, labels)


def _refuse_labels(uri: str, labels: str | None) -> None:
    if labels is not None:
        raise UserError(
            f"{uri}: the classes are those of ImageNet's folders; --labels {labels!r} cannot be used with it"
        )


def _chosen(uri: str, splits: tuple[str, ...], split: str | None) -> str:
    chosen = chosen_split(uri, splits, split or (splits[0] if len(splits) == 1 else None))
    assert chosen is not None  # of two, train is one
    return chosen


def _is_validation(store: Store, place: str) -> bool:
    """Whether a folder holds validation images, in no folder of their own."""
    if store.info(place).type != fs.FileType.Directory:
        return False
    return any(map(VALIDATION.fullmatch, _first_files(store, place)))


def _first_files(store: Store, name: str = "") -> list[str]:
    """The relative paths of some files of a folder."""
    paths = (path.decode("utf-8", "surrogateescape") for path, _ in store.walk(name))
    return list(islice(filter(is_visible, paths), GLANCE))
