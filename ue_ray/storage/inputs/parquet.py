"""Parquet in the Hugging Face image convention: ``image: struct<bytes, path>`` (or plain binary) and ``label``."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ue_ray.errors import ReadFailure, UserError, one_line
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs.columns import IMAGE, class_names, image_column, label_column, partitions
from ue_ray.storage.inputs.labels import first_names, is_parquet, is_text, numbered, whole_numbers
from ue_ray.storage.inputs.listing import Listing, ids_of, links_left
from ue_ray.storage.inputs.splits import split_of
from ue_ray.storage.inputs.visible import is_tabular
from ue_ray.storage.store import NOT_FOLLOWED, Store

T = TypeVar("T")

MAX_UNNAMED_CLASSES = 1_000_000
"""Without class names in the schema a label above this is taken for a mistake (an id in the wrong column)."""

BATCH_ROWS, BATCH_BYTES = 64, 32 << 20  # of images held at a time
BUFFER_BYTES = 8 << 20  # fetched at a time

ONLY_A_PATH = ReadFailure("no image bytes in the row: a column that holds only paths cannot be read")
CHANGED = ReadFailure("cannot read: the file has changed since it was listed")

GLANCE_FILES, GLANCE_ROWS = 4, 100_000  # that a first look sees

_UNREADABLE = (pa.ArrowException, OSError)  # what pyarrow raises for a file that is damaged or gone


@dataclass(frozen=True)
class ParquetSource:
    """One Parquet file, or those below a folder, in the order of their relative paths, then of their rows.

    Of the ``splits`` of a folder only ``split`` is read, or everything where that is None.

    A string column ``sample_id``, where there is one, gives the ids; else the key ``relative/path.parquet#row`` does.
    ``nbytes`` is the mean size of an image in its row group: exact sizes would mean reading every image.
    ``label_column`` holds integers, which are the labels, or text, which names classes that are numbered in the order
    of their sorted names. ``columns`` says which columns are taken where none is named.
    """

    uri: str
    label_column: str | None = None
    image_column: str | None = None
    split: str | None = None
    splits: tuple[str, ...] = ()
    follow_links: bool = False

    def glance(self) -> None:
        """Raises the UserError of ``list`` that the first GLANCE_FILES show: by their footers; few rows, by all."""
        store = open_store(self.uri)
        names = _files(self, store)
        rows = sum(_read(self, store, name, _rows) or 0 for name in names[:GLANCE_FILES])
        if len(names) <= GLANCE_FILES and rows <= GLANCE_ROWS:
            self.list()

    def list(self) -> Listing:
        store = open_store(self.uri)
        parts, named = [], {}
        for name in _files(self, store):
            part, names = _list_file(self, store, name)
            if part is None:
                continue
            parts.append(part)
            if names is not None:
                named[_where(self.uri, name)] = names
        if not parts:
            raise UserError(f"{self.uri}: holds no samples: every file has zero rows")
        for part in parts:
            if part["label"].type != parts[0]["label"].type:
                column = self.label_column or "of labels"
                raise UserError(f"{self.uri}: column {column} is text in some files and integers in others")
        table = pa.concat_tables(parts).combine_chunks()
        if table["label"].type == pa.string():
            labels, names = numbered(table["label"])
            table = table.set_column(table.column_names.index("label"), "label", labels)
            return Listing(table, names).check(self.uri)
        return Listing(table, _common_names(named, table), own_numbers=True).check(self.uri)

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        store = open_store(self.uri)
        files = rows["file"].to_pylist()
        readers = {name: _FileReader(store, name, self.image_column) for name in dict.fromkeys(files)}
        wanted = rows["row"].to_pylist()
        places = [(name, *readers[name].locate(row)) for name, row in zip(files, wanted, strict=True)]
        offsets: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        for name, group, offset in places:
            offsets[name, group][offset] += 1
        groups: dict[tuple[str, int], _RowGroup] = {}  # from its first row to its last: each is read once
        for name, group, offset in places:
            place = (name, group)
            if place not in groups:
                groups[place] = _RowGroup(readers[name], group, offsets.pop(place))
            yield groups[place].image(offset)
            if not groups[place].left:
                del groups[place]


def parquet_files(store: Store, follow_links: bool = False) -> list[str]:
    """Relative paths of the Parquet files of a folder of them; none where another file lies inside a folder of it.

    Only files that count do so: ``_tabular_files``.
    """
    names = []
    for path, size in _tabular_files(store, follow_links):
        if is_parquet(path):
            names.append(path)
        elif "/" in path and size:  # class folders, then; found early, so large ones stay unlisted
            return []
    return names


def _tabular_files(store: Store, follow_links: bool) -> Iterator[tuple[str, int]]:
    """Relative paths and sizes of the files that count (``is_tabular``)."""
    for path, size in store.walk("", follow_links):
        name = path.decode("utf-8", "surrogateescape")
        if not name.endswith("/") and is_tabular(name):
            yield name, size


class _FileReader:
    """One Parquet file opened once; a file that cannot be opened becomes a ReadFailure for each row asked of it."""

    def __init__(self, store: Store, name: str, image: str | None) -> None:
        self._store = store
        self._name = name
        self._ends = np.empty(0, dtype=np.int64)  # of each row group, in rows of the file
        self._failure: ReadFailure | None = None
        try:
            self._file = store.blame(partial(store.persist, self._open))
            self._image = image_column(self._file.schema_arrow, image, name)
        except UserError:
            self._failure = CHANGED
            return
        except _UNREADABLE as error:
            self._failure = _failure(error)
            return
        metadata = self._file.metadata
        self._ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self._store.open(self._name), buffer_size=BUFFER_BYTES)  # or a whole column is fetched

    def locate(self, row: int) -> tuple[int, int]:
        """Row group and offset in it of a row of the file; group -1 where there is none."""
        group = int(np.searchsorted(self._ends, row, side="right"))
        if group == len(self._ends):
            return -1, 0
        return group, row - (int(self._ends[group - 1]) if group else 0)

    def batches(self, group: int) -> Iterator[pa.Array]:
        """Yields the images of a row group, as bytes or structs of bytes, a few at a time.

        A batch bounds the memory, whatever the group's size, and what lies nested in a column of more than 2 GiB can be
        read in no other way.
        """
        if self._failure or group < 0:
            raise _Unreadable(self._failure or CHANGED)
        is_struct = pa.types.is_struct(self._file.schema_arrow.field(self._image).type)
        column = f"{self._image}.bytes" if is_struct else self._image
        mean = mean_group_bytes(self._file.metadata.row_group(group), self._image)
        count = max(1, min(BATCH_ROWS, BATCH_BYTES // max(mean, 1)))
        for batch in self._file.iter_batches(count, row_groups=[group], columns=[column], use_threads=False):
            yield batch.column(0)

    def persist(self, read: Callable[[], None]) -> None:
        """``read()`` of this file, tried again where that helps. Raises OutOfReach where the store is to blame."""
        self._store.blame(partial(self._store.persist, read))


class _RowGroup:
    """The images of some rows of one row group, in any order; it is read once.

    ``left``: how often each offset is still to be asked for. Images that are passed on the way to another are held
    until they are.
    """

    def __init__(self, reader: _FileReader, group: int, left: Counter[int]) -> None:
        self.left = left
        self._reader = reader
        self._group = group
        self._held: dict[int, bytes | ReadFailure] = {}
        self._next = 0  # the first offset that has not been passed
        self._batches: Iterator[pa.Array] | None = None
        self._failure: ReadFailure | None = None

    def image(self, offset: int) -> bytes | ReadFailure:
        if offset not in self._held and self._failure is None:
            try:
                self._reader.persist(partial(self._read_to, offset))
            except _Unreadable as error:
                self._failure = error.failure
            except _UNREADABLE as error:
                self._failure = _failure(error)
        image = self._held.get(offset, self._failure)
        assert image is not None
        self.left[offset] -= 1
        if not self.left[offset]:
            del self.left[offset]
            self._held.pop(offset, None)
        return image

    def _read_to(self, offset: int) -> None:
        batches, self._batches = self._batches, None  # another try begins anew
        if batches is None:
            batches, self._next = self._reader.batches(self._group), 0
        while self._next <= offset:
            images = next(batches)
            for place in range(len(images)):
                if self._next + place in self.left:
                    self._held[self._next + place] = _image_bytes(images[place])
            self._next += len(images)
        self._batches = batches


class _Unreadable(Exception):
    """No row of the file can be read, and why."""

    def __init__(self, failure: ReadFailure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def _image_bytes(value: pa.Scalar) -> bytes | ReadFailure:
    data = value.as_py()
    if isinstance(data, dict):
        data = data["bytes"]
        return ONLY_A_PATH if data is None else data
    return ReadFailure("no image bytes in the row") if data is None else data


def _failure(error: Exception) -> ReadFailure:
    return ReadFailure(f"cannot read the Parquet file: {type(error).__name__}")


def _where(uri: str, name: str) -> str:
    return f"{uri}: {name}" if name else uri


def _files(source: ParquetSource, store: Store) -> list[str]:
    """Relative paths of the Parquet files, sorted; one empty name where ``store`` is a file itself."""
    if store.info().is_file:
        return [""]
    try:
        found = {name: size for name, size in _tabular_files(store, source.follow_links) if is_parquet(name)}
        names = sorted(found)
        "".join(names).encode()  # fails where a name is not UTF-8
    except UnicodeEncodeError:
        raise UserError(f"{source.uri}: a Parquet file's name is not UTF-8; rename it") from None
    except OSError as error:
        raise UserError(f"{source.uri}: cannot list the folder: {error}") from error
    names = [name for name in names if source.split is None or split_of(name) == source.split]
    if not names:
        raise UserError(f"{source.uri}: holds no .parquet file")
    if links := [name for name in names if found[name] == NOT_FOLLOWED]:
        raise UserError(f"{source.uri}: {links_left(len(links), links[0])}")
    return names


def _read(source: ParquetSource, store: Store, name: str, look: Callable[[pq.ParquetFile, str, str], T]) -> T | None:
    """What ``look`` finds in an open file, given its columns of images and labels; None where it has no rows.

    Writers that had no values to go by gave a file of no rows any types.
    """
    where = _where(source.uri, name)

    def read() -> T | None:
        with store.open(name) as opened, pq.ParquetFile(opened) as file:
            if not file.metadata.num_rows:
                return None
            image = image_column(file.schema_arrow, source.image_column, where)
            return look(file, image, label_column(file.schema_arrow, partitions(name), source.label_column, where))

    try:
        return store.persist(read)
    except _UNREADABLE as error:
        raise UserError(f"{where}: not a readable Parquet file: {one_line(error)}") from error


def _rows(file: pq.ParquetFile, image: str, label: str) -> int:
    return int(file.metadata.num_rows)


def _columns(file: pq.ParquetFile, image: str, label: str) -> tuple[pa.Schema, str, pa.Table, np.ndarray]:
    schema = file.schema_arrow
    has_ids = "sample_id" in schema.names and is_text(schema.field("sample_id").type)
    names = [column for column in (label, "sample_id" if has_ids else label) if column in schema.names]
    return schema, label, file.read(columns=names), mean_image_bytes(file.metadata, image)


def _list_file(source: ParquetSource, store: Store, name: str) -> tuple[pa.Table | None, list[str] | None]:
    """The listing rows of one file, labels as int64 or string, and the class names its schema gives, if any.

    None for a file of no rows.
    """
    where = _where(source.uri, name)
    listed = _read(source, store, name, _columns)
    if listed is None:
        return None, None
    schema, label, columns, nbytes = listed
    rows = np.arange(len(nbytes))
    names = class_names(schema, label)
    folders = partitions(name)
    column = columns[label] if label in schema.names else pa.chunked_array([pa.repeat(folders[label], len(rows))])
    labels = _labels(column, label, names, where)
    if "sample_id" in columns.column_names and label != "sample_id":
        ids = keys = columns["sample_id"].cast(pa.string())
        if ids.null_count:
            row = pc.index(ids.is_null(), True).as_py()
            raise UserError(f"{where}: row {row} has no sample_id; fill it or drop the column")
    else:
        shown = name or store.root.rsplit("/", 1)[-1]
        keys = pa.chunked_array([pc.binary_join_element_wise(shown, pa.array(rows).cast(pa.string()), "#")])
        ids = ids_of(keys)
    table = pa.table(
        {
            "sample_id": ids,
            "key": keys,
            "label": labels,
            "nbytes": pa.array(nbytes, pa.int64()),
            "file": pa.repeat(name, len(rows)),
            "row": pa.array(rows, pa.int64()),
        }
    )
    return table, names


def _labels(column: pa.ChunkedArray, name: str, class_names: list[str] | None, where: str) -> pa.ChunkedArray:
    """The labels as int64 or string, refusing the first null or out-of-range one by its row."""
    column = whole_numbers(column, where, name)
    if column.null_count:
        raise UserError(f"{where}: row {pc.index(column.is_null(), True).as_py()} has no {name}")
    if is_text(column.type):
        return column.cast(pa.string())
    top = (len(class_names) if class_names is not None else MAX_UNNAMED_CLASSES) - 1
    values = column.to_numpy()  # compared as stored: the upper half of uint64 has no int64
    if len(wrong := np.flatnonzero((values < 0) | (values > top))):
        row = int(wrong[0])
        raise UserError(f"{where}: row {row} has {name} {values[row]}, out of range: expected 0 to {top}")
    return column.cast(pa.int64())


def mean_image_bytes(metadata: pq.FileMetaData, image: str = IMAGE) -> np.ndarray:
    """int64 ``[rows]``: the mean size of the column ``image`` in each row's row group, from the file's footer."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    means = np.array([mean_group_bytes(group, image) for group in groups], dtype=np.int64)
    return np.repeat(means, np.array([group.num_rows for group in groups], dtype=np.int64))


def mean_group_bytes(group: pq.RowGroupMetaData, image: str) -> int:
    """The mean size of the column ``image`` in a row group, in bytes."""
    columns = [group.column(index) for index in range(group.num_columns)]
    size = sum(c.total_uncompressed_size for c in columns if c.path_in_schema in (image, f"{image}.bytes"))
    return size // max(group.num_rows, 1)


def _common_names(named: dict[str, list[str]], table: pa.Table) -> list[str]:
    """The names all files agree on, else the numbers of the labels."""
    if named:
        first, *others = named
        for other in others:
            if named[other] != named[first]:
                raise UserError(
                    f"{other}: class names differ from those of {first}; labels would not mean the same: "
                    f"{first_names(named[other])}; {first_names(named[first])}"
                )
        return named[first]
    top = pc.max(table["label"]).as_py() if table.num_rows else -1
    return [str(label) for label in range(top + 1)]
