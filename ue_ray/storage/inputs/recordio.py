"""RecordIO files, as MXNet and insightface hand out face collections: ``train.rec``, ``train.idx``, ``property``."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from ue_ray.errors import ReadFailure, UserError, one_line
from ue_ray.storage.filesystem import join, open_store
from ue_ray.storage.inputs.listing import NO_LABEL, Listing, ids_of
from ue_ray.storage.inputs.parquet import CHANGED, MAX_UNNAMED_CLASSES
from ue_ray.storage.inputs.pieces import read_pieces
from ue_ray.storage.inputs.record_file import (
    BEYOND,
    CUT,
    DAMAGED,
    SHORT,
    WHOLE,
    Records,
    find_records,
    image_of,
    labelled_image_of,
)
from ue_ray.storage.inputs.record_index import Index, checked, read_index, records_by_identity
from ue_ray.storage.inputs.splits import chosen_split, split_of, splits_of_files
from ue_ray.storage.inputs.visible import is_visible
from ue_ray.storage.store import Store

ENDING = ".rec"
PROPERTY = "property"
MOST_LABELS = 1 << 24
"""Labels are float32: above this two of them may be one."""

NO_IMAGE, NO_CLASS = range(BEYOND + 1, BEYOND + 3)
REASONS = {
    CUT: ReadFailure("the file ends inside this record"),
    DAMAGED: ReadFailure("damaged: these bytes are no record"),
    SHORT: ReadFailure("damaged: shorter than its header says"),
    NO_IMAGE: ReadFailure("a record without an image"),
    NO_CLASS: ReadFailure("its label is not the number of a class"),
    BEYOND: ReadFailure("the file ends before this record, which its .idx names"),
}

MISLABELLED = ReadFailure("its label is not the one that was listed")

GLANCE_BYTES = 64 << 20  # a file up to this size is listed by a first look


@dataclass(frozen=True)
class RecordSource:
    """The image records of one ``.rec``, or of those in a folder, in the order of their names, then of the records.

    The key is ``train.rec#number``, counted from 0 in the file. The label is the header's, or the first of several. The
    classes are called by their numbers; ``property`` beside the file, if it is there, says how many there are. Where
    record 0 has several labels and no image, as in insightface's files, records of that kind name the identities and
    are no samples. ``nbytes`` is the size of the record. An ``.idx`` beside the file is not needed; one that is not the
    file's is refused. With it, a large file of insightface's kind is listed by what it says of its identities, and its
    images are not read. A record that is cut or damaged, has no image or no class, or another label than was listed, is
    read as a failure.

    Of the ``splits`` in a folder only ``split`` is read, or everything where that is None.
    """

    uri: str
    split: str | None = None
    splits: tuple[str, ...] = ()

    def glance(self) -> None:
        """Raises the UserError of ``list`` that the beginnings of the files show, or all of small ones."""
        files = self._files()
        for file in files:
            _find(file, min(file.size, 64))
        if sum(file.size for file in files) <= GLANCE_BYTES:
            self.list()

    def list(self) -> Listing:
        files = self._files()
        classes, notes = _property(files[0])
        most = min(max(classes, MAX_UNNAMED_CLASSES), MOST_LABELS)
        tables = []
        for file in files:
            table, noted = _list_file(file, most)
            tables.append(table)
            notes += noted
        table = pa.concat_tables(tables).combine_chunks()
        top = pc.max(table["label"]).as_py() if table.num_rows else NO_LABEL
        if 0 < classes <= top:
            notes.append(f"{PROPERTY} says {classes:,} classes, but there is a label {top:,}")
        note = "; ".join(notes)
        listing = Listing(table, [str(label) for label in range(max(classes, top + 1))], own_numbers=True, note=note)
        return listing.check(f"{self.uri} ({note})" if note else self.uri)

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        store = open_store(self.uri)
        whole = rows.filter(pc.equal(rows["fault"], WHOLE))
        records = read_pieces(store, *(whole[name].to_pylist() for name in ("file", "offset", "nbytes")))
        for fault, number in zip(rows["fault"].to_pylist(), rows["number"].to_pylist(), strict=True):
            yield REASONS[fault] if fault else _image_labelled(next(records), number)

    def _files(self) -> "_Files":
        try:
            return _files(self)
        except OSError as error:
            raise UserError(f"{self.uri}: cannot be read: {one_line(error)}") from error


def record_files(store: Store) -> list[str]:
    """The names of the ``.rec`` files directly in a folder, sorted."""
    files = (entry for entry in store.entries() if entry.type == fs.FileType.File)
    return sorted(file.base_name for file in files if is_record_file(file.base_name) and is_visible(file.base_name))


def record_source(uri: str, names: list[str], split: str | None) -> RecordSource:
    """The source for a ``.rec``, ``names`` being none, or for a folder with those. Raises UserError for a wrong split.

    One file is the same source, with the same keys, whether it or its folder is given.
    """
    if not names:
        if split is not None:
            raise UserError(f"{uri}: is one file; --split {split!r} cannot be used with it")
        return RecordSource(uri)
    splits = splits_of_files(names)
    chosen = chosen_split(uri, splits, split)
    read = [name for name in names if chosen is None or split_of(name) == chosen]
    return RecordSource(join(uri, read[0]) if len(read) == 1 else uri, chosen, splits)


def is_record_file(path: str) -> bool:
    """Whether a file holds records, by its ending."""
    return path.lower().endswith(ENDING)


class _File(NamedTuple):
    """A ``.rec``: ``name`` relative to the source's uri, ``base`` to its folder; ``size`` in bytes."""

    folder: Store
    base: str
    name: str
    where: str
    size: int


_Files = list[_File]


def _files(source: RecordSource) -> _Files:
    store = open_store(source.uri)
    if is_file := store.info().is_file:
        folder, _, base = store.root.rpartition("/")
        store, names = type(store)(store.filesystem, folder), [base]
    else:
        names = [name for name in record_files(store) if source.split is None or split_of(name) == source.split]
        if not names:
            raise UserError(f"{source.uri}: holds no {ENDING} file")
    files = []
    for name in names:
        where = source.uri if is_file else f"{source.uri}: {name}"
        size = store.info(name).size
        if not size:
            raise UserError(f"{where}: is empty")
        files.append(_File(store, name, "" if is_file else name, where, size))
    return files


def _find(file: _File, size: int, index: Index | None = None) -> Records:
    """The records in the first ``size`` bytes, by the ``index`` where that is enough.

    Raises UserError where there is none at the beginning, and for an index that is not the file's.
    """
    read = partial(file.folder.read_range, file.base)
    try:
        records = records_by_identity(read, size, index) if index else None
        if records is not None:
            return records
        records = find_records(read, size)
    except ValueError:
        raise UserError(f"{file.where}: is no RecordIO file: it does not begin with a record (0a 23 d7 ce)") from None
    except OSError as error:
        raise UserError(f"{file.where}: cannot be read: {one_line(error)}") from error
    return checked(records, index, size, file.where) if index else records


def _list_file(file: _File, most: int) -> tuple[pa.Table, list[str]]:
    """The rows of one file, labels below ``most``, and what is to be said of it."""
    records = _find(file, file.size, read_index(file.folder, file.base, file.where))
    notes = []
    if np.isin(records.states, (CUT, BEYOND)).any():
        whole = np.count_nonzero(records.states == WHOLE)
        notes.append(f"{file.base} is cut after {file.size:,} bytes; its {whole:,} whole records are read")
    if count := np.count_nonzero(records.states == DAMAGED):
        notes.append(f"{file.base} is damaged in {count:,} place{'s' * int(count > 1)}")
    named = _names_identities(records)
    if count := np.count_nonzero(named):
        notes.append(f"{count:,} of the {len(named):,} records of {file.base} name its identities and hold no image")
    return _table(records, np.flatnonzero(~named), file, most), notes


def _property(file: _File) -> tuple[int, list[str]]:
    """How many classes ``property`` says there are, 0 where there is none, and what is wrong with it."""
    try:
        text = file.folder.read_if_there(PROPERTY)
    except OSError as error:
        return 0, [f"{PROPERTY} cannot be read: {one_line(error)}"]
    if text is None:
        return 0, []
    numbers = text.decode("utf-8", "replace").strip().split(",")
    if len(numbers) == 3 and all(number.strip().isdecimal() for number in numbers) and int(numbers[0]) <= MOST_LABELS:
        return int(numbers[0]), []
    return 0, [f"{PROPERTY} is not read: expected classes,height,width, such as 10572,112,112"]


def _names_identities(records: Records) -> np.ndarray:
    """Which records are no samples: insightface's, where record 0 is one of them. Else None is."""
    empty = (records.states == WHOLE) & (records.flags > 1) & (records.image_bytes == 0)
    return empty & empty[0]


def _table(records: Records, rows: np.ndarray, file: _File, most: int) -> pa.Table:
    starts, sizes, states, _, labels, image_bytes = (column[rows] for column in records)
    is_class = (labels >= 0) & (labels < most) & (labels == np.rint(labels))  # NaN is none
    faults = np.where((states == WHOLE) & ~is_class, NO_CLASS, states)
    faults = np.where((states == WHOLE) & (image_bytes == 0), NO_IMAGE, faults)
    keys = pa.chunked_array([pc.binary_join_element_wise(file.base, pa.array(rows).cast(pa.string()), "#")])
    numbers = np.where(faults == WHOLE, labels, NO_LABEL)
    return pa.table(
        {
            "sample_id": ids_of(keys),
            "key": keys,
            "label": pa.array(numbers.astype(np.int64)),
            "nbytes": pa.array(sizes, pa.int64()),
            "file": pa.repeat(file.name, len(rows)),
            "offset": pa.array(starts, pa.int64()),
            "fault": pa.array(faults, pa.int8()),
            "number": pa.array(numbers.astype(np.int32)),  # the label, whatever a selection makes of it
        }
    )


def image_in(record: bytes | ReadFailure) -> bytes | ReadFailure:
    """The image of a record, or why there is none."""
    if isinstance(record, ReadFailure):
        return record
    try:
        return image_of(record)
    except ValueError:
        return CHANGED


def _image_labelled(record: bytes | ReadFailure, number: int) -> bytes | ReadFailure:
    """The same of a record whose label is ``number``."""
    if isinstance(record, ReadFailure):
        return record
    try:
        label, image = labelled_image_of(record)
    except ValueError:
        return CHANGED
    if label != number:
        return MISLABELLED
    return image or REASONS[NO_IMAGE]
