"""From keys to classes: by the top folder, by a pattern of the key, or by a table of keys and labels."""

import re
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ue_ray.errors import UserError, one_line
from ue_ray.storage.filesystem import read_bytes
from ue_ray.storage.inputs.listing import NO_LABEL, repeated

_TABLES = (".csv", ".parquet")
_FOLDER = r"^(?P<label>[^/.][^/]*)/"  # a hidden top folder (.cache) is no class

_SYSTEM = r"(^|/)(__MACOSX|@eaDir|\.ipynb_checkpoints|\.Trash[^/]*|Thumbs\.db|desktop\.ini|\.DS_Store|\._[^/]*)(/|$)"


def system_files(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which keys are files that an operating system or an editor left: none of them is a picture, nor makes a class."""
    return pc.match_substring_regex(keys, _SYSTEM)


def is_table(labels: str) -> bool:
    """Whether ``labels`` names a table: a URI that ends in ``.csv`` or ``.parquet``."""
    return _path(labels).endswith(_TABLES) and "{label}" not in labels


def check_rule(labels: str) -> None:
    """Raise UserError unless ``labels`` is a rule for the files of a folder: a key pattern or the URI of a table."""
    if is_table(labels):
        return
    if labels.count("{label}") != 1:
        raise UserError(
            f"labels {labels!r}: expected a key pattern with {{label}} in it once, such as users/{{label}}/*, or a "
            f"table of the columns key and label, ending in {' or '.join(_TABLES)}"
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
    read: Callable[[pa.BufferReader], pa.Table] = _read_csv if _path(uri).endswith(".csv") else pq.read_table
    try:
        table = read(pa.BufferReader(read_bytes(uri)))
        if missing := [name for name in ("key", "label") if name not in table.column_names]:
            found = ", ".join(table.column_names) or "no columns"
            raise UserError(f"{uri}: no column {' or '.join(missing)}; found {found}")
        key, label = (table[name] for name in ("key", "label"))
        if not (pa.types.is_integer(label.type) or is_text(label.type)) or not is_text(key.type):
            raise UserError(f"{uri}: key is {key.type} and label {label.type}; expected text, and text or integers")
        key, label = (
            pa.concat_arrays(column.cast(pa.string()).chunks or [pa.array([], pa.string())]) for column in (key, label)
        )
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{uri}: cannot read the labels: {one_line(error)}") from error
    for name, column in (("key", key), ("label", label)):
        row = pc.index(pc.equal(pc.fill_null(column, ""), ""), True).as_py()
        if row >= 0:
            raise UserError(f"{uri}: row {row} has no {name}; a file without a label needs no row")
    if (twice := repeated(pa.chunked_array([key]))) is not None:
        raise UserError(f"{uri}: key {twice!r} appears more than once")
    return key, label


def _read_csv(source: pa.BufferReader) -> pa.Table:
    text = {"key": pa.string(), "label": pa.string()}  # or 007 would become 7
    convert = pa.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
    return pa.csv.read_csv(source, convert_options=convert, parse_options=pa.csv.ParseOptions(newlines_in_values=True))
