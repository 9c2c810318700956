"""The tars of ILSVRC 2012: one of class tars to train on, one of images to validate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.errors import ReadFailure, UserError, one_line
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs.folder import READERS
from ue_ray.storage.inputs.imagenet_labels import UNLABELLED, VALIDATION, readable, stem, validation_synsets
from ue_ray.storage.inputs.labels import first_names, numbered
from ue_ray.storage.inputs.listing import Listing, ids_of
from ue_ray.storage.inputs.pieces import read_pieces
from ue_ray.storage.inputs.tar_index import Kind, Member, TarIndex
from ue_ray.storage.store import Store

CLASS_TAR = re.compile(r"(n\d{8})\.tar")
NO_CLASS = "not in the tar of a class"
_FAULTS = {
    Kind.LINK: "a link, not a file",
    Kind.SPARSE: "a sparse file: stored without its holes",
    Kind.OTHER: "not a regular file",
    Kind.CUT: "the tar ends inside this file",
    Kind.DAMAGED: "damaged: the rest of the tar cannot be read",
}
_ROWS = pa.schema(
    [
        ("key", pa.string()),
        ("nbytes", pa.int64()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("synset", pa.string()),
        ("fault", pa.string()),
    ]
)

_Found = tuple[pa.Table, list[str]]  # rows, and notes


@dataclass(frozen=True)
class ImageNetTars:
    """``ILSVRC2012_img_train.tar``, a tar of class tars; a folder of those; or ``ILSVRC2012_img_val.tar``.

    Nothing is unpacked: a row says where in the tar its image lies. Keys are those of the unpacked folders
    (``n01440764/n01440764_10026.JPEG``, ``ILSVRC2012_val_00000001.JPEG``), and so are ids. The labels of validation
    images are in the file ``labels``, or in one beside the tar. Classes are numbered in the order of their synsets;
    ``imagenet_labels`` says what they are called. What is no file, or is cut or damaged, is listed without a label and
    read as a failure.
    """

    uri: str
    labels: str | None = None
    split: str | None = None
    splits: tuple[str, ...] = ()

    def glance(self) -> None:
        """Raises the UserError of ``list`` that the labels or the beginning of the first class tar show."""
        store = open_store(self.uri)
        if is_validation_tar(store):
            validation_synsets(store, self.labels, self.uri)
        elif tar := next((tar for tar in _class_tars(store) if isinstance(tar, _ClassTar)), None):
            list(islice(tar.members(), 1))

    def list(self) -> Listing:
        store = open_store(self.uri)
        try:
            if is_validation_tar(store):
                table, notes = self._validation_rows(store)
            else:
                table, notes = _training_rows(store)
        except OSError as error:
            raise UserError(f"{self.uri}: cannot be read: {one_line(error)}") from error
        table = table.combine_chunks()
        labels, synsets = numbered(table["synset"])
        names, notes_of_names = readable(synsets, store)
        columns = {"sample_id": ids_of(table["key"]), "key": table["key"], "label": labels}
        columns |= {name: table[name] for name in ("nbytes", "file", "offset", "fault")}
        return Listing(pa.table(columns), names, note="; ".join([*notes_of_names, *notes])).check(self.uri)

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        whole = rows.filter(pc.is_null(rows["fault"]))
        images = read_pieces(open_store(self.uri), *(whole[name].to_pylist() for name in ("file", "offset", "nbytes")))
        for fault in rows["fault"].to_pylist():
            yield next(images) if fault is None else ReadFailure(fault)

    def _validation_rows(self, store: Store) -> _Found:
        synset_of = validation_synsets(store, self.labels, self.uri)
        index = TarIndex(store)
        rows = _table(index, "", "", lambda name: synset_of.get(stem(name)), UNLABELLED)
        return rows, [] if index.whole else [_open_ended([store.root.rpartition("/")[2]])]


def is_training_tar(store: Store) -> bool:
    """Whether a tar begins with the tar of a class."""
    return _begins_with(store, CLASS_TAR)


def is_validation_tar(store: Store) -> bool:
    """Whether a tar begins with a validation image."""
    return store.info().is_file and _begins_with(store, VALIDATION)


def _begins_with(store: Store, names: re.Pattern[str]) -> bool:
    try:
        first = next((member for member in TarIndex(store) if member.kind is not Kind.FOLDER), None)
    except UserError:  # no tar at all
        return False
    return first is not None and names.fullmatch(first.name.rpartition("/")[2]) is not None


@dataclass(frozen=True)
class _ClassTar:
    """The tar of one class: all of the object ``name`` of the store, or its bytes from ``start`` to ``stop``."""

    store: Store
    synset: str
    name: str
    start: int
    stop: int

    def index(self) -> TarIndex:
        return TarIndex(self.store, self.name, self.start, self.stop)

    def members(self, index: TarIndex | None = None) -> Iterator[Member]:
        """Raises UserError for what is no tar of images."""
        where = f"{self.store.path(self.name)}: {self.synset}.tar"
        members = iter(index or self.index())
        while True:
            try:
                member = next(members, None)
            except UserError as error:
                raise UserError(f"{where}: {str(error).rpartition(': ')[2]}") from None
            if member is None:
                return
            if member.name.lower().endswith(".tar"):
                raise UserError(f"{where}: holds {member.name}, one level too deep: expected the images of one class")
            yield member

    def rows(self) -> tuple[pa.Table, bool]:
        """Its rows, and whether the tar has its end."""
        index = self.index()
        table = _table(self.members(index), self.name, f"{self.synset}/", lambda name: self.synset, "")
        return table, index.whole


def _class_tars(store: Store) -> Iterator[_ClassTar | Member]:
    """The tars of classes in a tar or a folder, and whatever else the tar holds."""
    if not store.info().is_file:
        sizes = {entry.base_name: entry.size for entry in store.entries() if entry.is_file}
        for name in sorted(sizes):
            if match := CLASS_TAR.fullmatch(name):
                yield _ClassTar(store, match[1], name, 0, sizes[name])
        return
    index = TarIndex(store)
    for member in index:
        match = CLASS_TAR.fullmatch(member.name.rpartition("/")[2])
        if match and member.kind in (Kind.FILE, Kind.CUT):
            stop = min(member.offset + member.size, index.stop)
            yield _ClassTar(store, match[1], "", member.offset, stop)
        else:
            yield member


def _training_rows(store: Store) -> _Found:
    found = list(_class_tars(store))
    tars = [tar for tar in found if isinstance(tar, _ClassTar)]
    others = [member for member in found if isinstance(member, Member)]
    with ThreadPoolExecutor(READERS) as pool:
        listed = list(pool.map(_ClassTar.rows, tars))
    tables = [rows for rows, _ in listed] + [_table(others, "", "", lambda name: None, NO_CLASS)]
    ended = [f"{tar.synset}.tar" for tar, (_, whole) in zip(tars, listed, strict=True) if not whole]
    return pa.concat_tables(tables), [_open_ended(ended)] if ended else []


def _open_ended(names: list[str]) -> str:
    return f"without the mark of a tar's end, so perhaps cut: {first_names(names)}"


def _table(
    members: Iterator[Member] | list[Member] | TarIndex,
    file: str,
    folder: str,
    synset_of: Callable[[str], str | None],
    lacking: str,
) -> pa.Table:
    """A row a member, but for folders. ``lacking``: the fault of a file without a synset."""
    columns: dict[str, list] = {name: [] for name in _ROWS.names}
    for member in members:
        if member.kind is Kind.FOLDER:
            continue
        synset = synset_of(member.name) if member.kind is Kind.FILE else None
        fault = _FAULTS.get(member.kind) or (None if synset else lacking)
        columns["key"].append(f"{folder}{member.name or f'byte {member.offset}'}")
        columns["nbytes"].append(member.size)
        columns["file"].append(file)
        columns["offset"].append(member.offset)
        columns["synset"].append(synset)
        columns["fault"].append(fault)
    return pa.table(columns, _ROWS)
