"""From keys to classes: by the top folder, by a pattern of the key, or by a table of keys and labels."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ue_ray.errors import UserError, one_line
from ue_ray.storage.filesystem import read_bytes
from ue_ray.storage.inputs.listing import NO_LABEL, repeated

_PARQUET = (".parquet", ".pq")
_TABLES = (".csv", ".txt", *_PARQUET)
_FOLDER = r"^(?P<label>[^/.][^/]*)/(?:(?:\.{0,2}|[^/.][^/]*)/)*[^/]*$"  # in no hidden folder (.cache)


def is_parquet(path: str) -> bool:
    """Whether a file is Parquet, by its ending."""
    return path.lower().endswith(_PARQUET)


def is_table(labels: str) -> bool:
    """Whether ``labels`` names a table: a URI that ends in ``.csv``, ``.txt``, ``.parquet`` or ``.pq``."""
    return _path(labels).lower().endswith(_TABLES) and "{label}" not in labels


def check_rule(labels: str) -> None:
    """Raise UserError unless ``labels`` is a rule for the files of a folder: a key pattern or the URI of a table."""
    if is_table(labels):
        return
    if labels.count("{label}") != 1:
        raise UserError(
            f"labels {labels!r}: expected a key pattern with {{label}} in it once, such as users/{{label}}/*, or a "
            f"table of the columns key and label, ending in {', '.join(_TABLES)}"
        )
    if labels.startswith("/"):
        raise UserError(f"labels {labels!r}: keys are relative to the input; take the first / away")


def unlabelled(labels: str | None) -> str:
    """The reason, one line, why a file has no label under this rule."""
    if labels is None:
        return "not inside a class folder"
    if is_table(labels):
        return f"no label in {_path(labels).rsplit('/', 1)[-1]}"
    return f"key does not match {labels}"


def classes(keys: pa.ChunkedArray, labels: str | None) -> pa.ChunkedArray:
    """The class name of each key, null where it has none. Raises UserError for a table that cannot be used."""
    if labels is None:
        return _captured(keys, _FOLDER)
    return _from_table(keys, labels) if is_table(labels) else _captured(keys, _expression(labels))


def own_name(uri: str) -> str:
    """The last name of a folder's URI: the class of a folder that is one class."""
    return _path(uri).rstrip("/").rpartition("/")[2] or "images"


def numbered(names: pa.ChunkedArray) -> tuple[pa.ChunkedArray, list[str]]:
    """Class names a row -> labels int64 (-1 for null) and the sorted names that they are indices of."""
    distinct = names.unique().drop_null()
    distinct = distinct.take(pc.sort_indices(distinct))
    labels = pc.fill_null(pc.index_in(names, value_set=distinct).cast(pa.int64()), NO_LABEL)
    return labels, distinct.to_pylist()


def first_names(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are: a part of a message."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")


def _path(uri: str) -> str:
    return uri.partition("?")[0] if "://" in uri else uri


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text, plain or by dictionary."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _captured(keys: pa.ChunkedArray, expression: str) -> pa.ChunkedArray:
    return pc.struct_field(pc.extract_regex(keys, expression), 0)


def _expression(pattern: str) -> str:
    """The regular expression of a key pattern; all but ``{label}``, ``**`` and ``*`` stands for itself."""
    parts = {"{label}": "(?P<label>[^/]+)", "**/": "(?:[^/]*/)*", "**": ".*", "*": "[^/]*"}
    tokens = re.split(r"(\{label\}|\*\*/|\*\*|\*)", pattern)
    return f"^(?s:{''.join(parts.get(token, re.escape(token)) for token in tokens)})$"


def _from_table(keys: pa.ChunkedArray, uri: str) -> pa.ChunkedArray:
    known, labels = read_table(uri)
    lost = pc.is_null(pc.index_in(known, value_set=keys))
    if count := pc.sum(lost).as_py():
        first = known.filter(lost)[0].as_py()
        raise UserError(f"{uri}: key {first!r} and {count - 1} more are not in the input; keys are relative to it")
    return labels.take(pc.index_in(keys, value_set=known))


def read_table(uri: str) -> tuple[pa.Array, pa.Array]:
    """The columns key and label as strings: no null, no empty one, no key twice. Raises UserError for others."""
    read: Callable[[pa.BufferReader], pa.Table] = pq.read_table if is_parquet(_path(uri)) else _read_csv
    if _path(uri).lower().endswith(".txt"):
        read = _read_lines
    try:
        table = read(pa.BufferReader(read_bytes(uri)))
        found = ", ".join(table.column_names) or "no columns"
        for name in ("key", "label"):
            if (count := table.column_names.count(name)) != 1:
                raise UserError(f"{uri}: {'two columns' if count else 'no column'} {name}; found {found}")
        key, label = table["key"], whole_numbers(table["label"], uri, "label")
        if not (pa.types.is_integer(label.type) or is_text(label.type)) or not is_text(key.type):
            raise UserError(f"{uri}: key is {key.type} and label {label.type}; expected text, and text or integers")
        table = pa.table({"key": key.cast(pa.string()), "label": label.cast(pa.string())})
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{uri}: cannot read the labels: {one_line(error)}") from error
    for name in ("key", "label"):
        row = pc.index(pc.equal(pc.fill_null(table[name], ""), ""), True).as_py()
        if row >= 0:
            raise UserError(f"{uri}: row {row} has no {name}; a file without a label needs no row")
    table = table.group_by(["key", "label"], use_threads=False).aggregate([])  # a row that is there twice counts once
    if (twice := repeated(table["key"])) is not None:
        raise UserError(f"{uri}: key {twice!r} has more than one label")
    key, label = (pa.concat_arrays(table[name].chunks or [pa.array([], pa.string())]) for name in ("key", "label"))
    return key, label


def whole_numbers(column: pa.ChunkedArray, where: str, name: str) -> pa.ChunkedArray:
    """Labels that are stored as floats or decimals, as int64 (null for NaN); another column as it is.

    pandas makes floats of integers beside missing values. Raises UserError for the first that is not whole, by its row.
    """
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if not pa.types.is_floating(column.type):
        return column
    values = column.to_numpy().astype(np.float64)
    if len(wrong := np.flatnonzero((values != np.rint(values)) & ~np.isnan(values) | (abs(values) >= 2.0**53))):
        row = int(wrong[0])
        raise UserError(f"{where}: row {row} has {name} {values[row]:g}; expected whole numbers, or text")
    return pa.chunked_array([pa.array(np.nan_to_num(values).astype(np.int64), mask=np.isnan(values))])


def _read_lines(source: pa.BufferReader) -> pa.Table:
    """The table of a text in UTF-8 with a key and, after its last space, a label on each line that is not blank."""
    lines = source.read().decode("utf-8-sig").split("\n")
    rows = [line.rsplit(None, 1) for line in lines if line.strip()]
    if wrong := [row for row in rows if len(row) != 2]:
        raise pa.ArrowInvalid(f"{wrong[0][0]!r} on a line of its own: expected a key, a space and a label")
    return pa.table({"key": [row[0].strip() for row in rows], "label": [row[1] for row in rows]})


def _read_csv(source: pa.BufferReader) -> pa.Table:
    """The table as text: the header is read as a row, so that no column is taken for numbers (007) or dates."""
    rows = pa.csv.read_csv(
        source,
        read_options=pa.csv.ReadOptions(autogenerate_column_names=True),
        convert_options=pa.csv.ConvertOptions(strings_can_be_null=False),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
    )
    table = rows.slice(1).rename_columns([str(column[0].as_py()).strip() for column in rows.columns])
    if "label" not in table.column_names:
        return table
    place = table.column_names.index("label")
    return table.set_column(place, "label", pc.utf8_trim_whitespace(table.column(place).cast(pa.string())))
