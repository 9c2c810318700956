"""Which files of a folder count: one rule, for what a folder is and for what is read of it."""

import re

import pyarrow as pa
import pyarrow.compute as pc

_LEFT = (
    r"(^|/)(__MACOSX|@eaDir|\.ipynb_checkpoints|\.Trash[^/]*|_temporary|_delta_log|"
    r"Thumbs\.db|desktop\.ini|\.DS_Store|\._[^/]*)(/|$)"
)
_LEFT_BEHIND = re.compile(_LEFT)


def left_behind(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which keys are files that a system, an editor or a tool left: none of them is a picture, nor makes a class."""
    return pc.match_substring_regex(keys, _LEFT)


def is_visible(name: str) -> bool:
    """Whether a folder or a file of this name counts: it is not hidden, and nothing left behind."""
    return not name.startswith(".") and not _LEFT_BEHIND.search(name)


def is_tabular(path: str) -> bool:
    """Whether a file counts among Parquet files: each part of its relative path is visible, and no tool's (``_``)."""
    return all(is_visible(part) and not part.startswith("_") for part in path.split("/"))
