"""From a name, path or URI to the Source that can list and read it."""

from pyarrow import fs

from ue_ray.errors import UserError
from ue_ray.storage.builtin import BUILTINS, BuiltinSource
from ue_ray.storage.filesystem import absolute, join, resolve, walk
from ue_ray.storage.folder import FolderSource
from ue_ray.storage.listing import Listing, ReadFailure, Source
from ue_ray.storage.parquet import ParquetSource

__all__ = ["BUILTINS", "Listing", "ReadFailure", "Source", "open_source"]


def open_source(uri: str) -> Source:
    """Find out what ``uri`` is. In this order:

    - one of BUILTINS, by name (write ``./mnist5k`` for a folder of that name);
    - a ``.parquet`` file;
    - an output of this toolkit (its ``data/`` is read, if it is committed);
    - a folder of ``.parquet`` files (no other file inside a folder of it; hidden and ``_`` names do not count);
    - any other folder: a folder of class folders.

    The source holds absolute paths only. Raises UserError where there is nothing, or something else.
    """
    if uri in BUILTINS:
        return BuiltinSource(uri)
    filesystem, path = resolve(uri)
    uri = absolute(uri)
    try:
        info = filesystem.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise UserError(f"{uri}: does not exist, nor is it a built-in data set ({', '.join(BUILTINS)})")
        if info.type != fs.FileType.Directory:
            if path.endswith(".parquet"):
                return ParquetSource(uri)
            raise UserError(
                f"{uri}: is a file; expected a .parquet file or a folder (of class folders or of .parquet files)"
            )
        entries = {entry.base_name for entry in filesystem.get_file_info(fs.FileSelector(path))}
        if "data" in entries and entries & {"noise", "manifest.json"}:
            if "_SUCCESS" not in entries:
                raise UserError(
                    f"{uri}: an output that is not committed (no _SUCCESS): its run failed or still goes on"
                )
            return ParquetSource(join(uri, "data"))
        return ParquetSource(uri) if _is_parquet_folder(filesystem, path) else FolderSource(uri)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{uri}: cannot be read: {' '.join(str(error).split())[:200]}") from error


def _is_parquet_folder(filesystem: fs.FileSystem, path: str) -> bool:
    found = False
    for name, _ in walk(filesystem, path):
        *folders, base = name.split(b"/")
        if any(part.startswith((b".", b"_")) for part in (*folders, base)):
            continue
        if base.endswith(b".parquet"):
            found = True
        elif folders:  # something else inside a folder: class folders, then. Found early, so large ones stay unlisted
            return False
    return found
