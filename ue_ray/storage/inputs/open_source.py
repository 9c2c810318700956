"""From a name, path or URI to the Source that can list and read it."""

from pyarrow import fs

from ue_ray.errors import UserError, one_line
from ue_ray.storage.filesystem import absolute, open_store
from ue_ray.storage.inputs.builtin import BUILTINS, BuiltinSource
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.labels import check_rule, is_table
from ue_ray.storage.inputs.listing import Listing, Source
from ue_ray.storage.inputs.parquet import LABEL, ParquetSource
from ue_ray.storage.outputs.layout import DATA, MANIFEST, NOISE, OURS, SUCCESS, WORK
from ue_ray.storage.store import Store

__all__ = ["BUILTINS", "Listing", "Source", "has_own_labels", "open_source"]


def open_source(uri: str, labels: str | None = None) -> Source:
    """Find out what ``uri`` is. In this order:

    - one of BUILTINS, by name (write ``./mnist5k`` for a folder of that name);
    - a ``.parquet`` file;
    - an output of this toolkit, if it is committed: its protected images, in whatever format;
    - a folder of ``.parquet`` files (no other file inside a folder of it; hidden and ``_`` names do not count);
    - any other folder: a folder of class folders.

    ``labels`` says where labels come from, if not from class folders or a column ``label``. For a folder:

    - a pattern of the key such as ``users/{label}/*``, relative to the input: ``*`` is anything but ``/``, ``**``
      anything at all (``**/`` any number of folders), ``{label}``, exactly one, some text without ``/``, and all else
      stands for itself;
    - a table: a URI that ends in ``.csv`` or ``.parquet``, with columns ``key`` (relative to the input, each once, each
      in the input) and ``label`` (text or integer).

    A file that the pattern or the table passes over gets label -1 and is read as a failure. For Parquet: the name of
    the column, of integers or text. Class names made from text are sorted.

    The source holds absolute paths only. Raises UserError where there is nothing, or something else.
    """
    if uri in BUILTINS:
        if labels is not None:
            raise UserError(f"{uri}: has labels of its own; labels {labels!r} cannot be used with it")
        return BuiltinSource(uri)
    store = open_store(uri)
    uri = absolute(uri)
    try:
        kind = store.info().type
        if kind == fs.FileType.NotFound:
            raise UserError(f"{uri}: does not exist, nor is it a built-in data set ({', '.join(BUILTINS)})")
        if kind != fs.FileType.Directory:
            if store.root.endswith(".parquet"):
                return ParquetSource(uri, labels or LABEL)
            raise UserError(
                f"{uri}: is a file; expected a .parquet file or a folder (of class folders or of .parquet files)"
            )
        entries = set(store.names())
        # Nothing else may lie there: who adds a manifest.json to an input must not make an output of it.
        if entries <= set(OURS) and (WORK in entries or (entries & {DATA, SUCCESS} and entries & {NOISE, MANIFEST})):
            if SUCCESS not in entries:
                raise UserError(
                    f"{uri}: an output that is not committed (no {SUCCESS}): its run failed or still goes on"
                )
            if labels is not None:
                raise UserError(f"{uri}: is an output with labels of its own; labels {labels!r} cannot be used with it")
            return OutputSource(uri)
        if _is_parquet_folder(store):
            return ParquetSource(uri, labels or LABEL)
        if labels is not None:
            check_rule(labels)
            labels = absolute(labels) if is_table(labels) else labels
        return FolderSource(uri, labels)
    except (OSError, ValueError) as error:  # ValueError: a name that Arrow cannot say
        raise UserError(f"{uri}: cannot be read: {one_line(error)}") from error


def has_own_labels(source: Source) -> bool:
    """Whether ``open_source`` refuses other labels for what ``source`` reads."""
    return isinstance(source, BuiltinSource | OutputSource)


def _is_parquet_folder(store: Store) -> bool:
    found = False
    for name, _ in store.walk():
        *folders, base = name.split(b"/")
        if not base:  # a folder marker
            continue
        if any(part.startswith((b".", b"_")) for part in (*folders, base)):
            continue
        if base.endswith(b".parquet"):
            found = True
        elif folders:  # something else inside a folder: class folders, then. Found early, so large ones stay unlisted
            return False
    return found
