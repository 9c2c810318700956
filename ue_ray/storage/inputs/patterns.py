"""Many files by one name: ``train-{000000..000147}.tar``, ``shards/*.tar``."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from itertools import product

from pyarrow import fs

from ue_ray.errors import UserError
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs.folder import READERS
from ue_ray.storage.inputs.labels import first_names
from ue_ray.storage.store import Store

MOST_NAMES = 1_000_000
"""That braces may give; more is a mistake."""

ANY_FOLDERS = "**"

_SPECIAL = re.compile(r"[*?\[{]")
_WILD = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def split_pattern(uri: str) -> tuple[str, str] | None:
    """The folder above the first part of ``uri`` that is a pattern, as a URI, and the rest; None where nothing is one.

    In a URI with a scheme ``?`` begins the options, and is no wildcard.
    """
    path, mark, options = uri.partition("?") if "://" in uri else (uri, "", "")
    if (special := _SPECIAL.search(path)) is None:
        return None
    cut = path.rfind("/", 0, special.start())
    folder = path[:cut] or "/" if cut >= 0 else "."
    if folder.endswith((":/", "://")):
        raise UserError(f"{uri}: a bucket is named in full; a pattern names the files in it")
    return folder + mark + options, path[cut + 1 :]


def expand(pattern: str) -> list[str]:
    """``a-{0..2}.{x,y}`` -> the names that it stands for, each once. A range keeps its leading zeros.

    Raises UserError for braces that hold neither a range nor a list, and for more than MOST_NAMES names.
    """
    parts = _BRACES.split(pattern)  # every second is what stands between braces
    if any(brace in part for part in parts for brace in "{}"):
        raise UserError(f"{pattern}: braces that do not close, or stand in others; write {{0..9}} or {{a,b}}")
    choices = [_choices(part, pattern) if place % 2 else [part] for place, part in enumerate(parts)]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MOST_NAMES:
        raise UserError(f"{pattern}: stands for {count:,} names; expected at most {MOST_NAMES:,}")
    return list(dict.fromkeys("".join(chosen) for chosen in product(*choices)))


def matching_files(uri: str, folder: str, pattern: str) -> list[tuple[str, int]]:
    """The name relative to ``folder`` and size of each file that ``pattern`` stands for, sorted by name.

    ``*``, ``?`` and ``[...]`` are of one part of a path, ``**`` any number of folders. Names that are hidden match only
    what says so. Raises UserError, naming ``uri``, where nothing matches, or where one of the names that braces give is
    not there.
    """
    store = open_store(folder)
    names = expand(pattern)
    exact = [name for name in names if not _WILD.search(name)]
    with ThreadPoolExecutor(READERS) as pool:
        infos = list(pool.map(store.info, exact))
    missing = [name for name, info in zip(exact, infos, strict=True) if info.type != fs.FileType.File]
    if missing:
        raise UserError(f"{uri}: {len(missing):,} of {len(exact):,} files are not there: {first_names(missing)}")
    found = {name: info.size or 0 for name, info in zip(exact, infos, strict=True)}
    for name in names:
        if _WILD.search(name):
            some = dict(_matching(store, "", name.split("/")))
            if not some:
                raise UserError(f"{uri}: no file is called so" + f" ({name})" * (len(names) > 1))
            found |= some
    return sorted(found.items())


def may_hold(pattern: str, place: Sequence[str]) -> bool:
    """Whether a file that ``pattern`` stands for may be ``place``, lie in it or hold it.

    ``place``: the parts of a path relative to the pattern's folder.
    """
    return any(_may_meet(name.split("/"), place) for name in expand(pattern))


def _choices(text: str, pattern: str) -> list[str]:
    if match := _RANGE.fullmatch(text):
        first, last = int(match[1]), int(match[2])
        if abs(last - first) >= MOST_NAMES:
            raise UserError(f"{pattern}: stands for more than {MOST_NAMES:,} names")
        padded = any(end.startswith("0") and len(end) > 1 for end in match.groups())
        width = max(map(len, match.groups())) if padded else 0
        step = 1 if first <= last else -1
        return [f"{number:0{width}}" for number in range(first, last + step, step)]
    if "," not in text:
        raise UserError(f"{pattern}: {{{text}}} is no range and no list; write {{0..9}} or {{a,b}}")
    return text.split(",")


def _matching(store: Store, folder: str, parts: Sequence[str]) -> Iterator[tuple[str, int]]:
    part, *rest = parts
    for entry in store.entries(folder):
        name = f"{folder}/{entry.base_name}" if folder else entry.base_name
        if part == ANY_FOLDERS:
            if entry.type == fs.FileType.Directory and not entry.base_name.startswith("."):
                yield from _matching(store, name, parts)
        elif _matches(entry.base_name, part):
            if not rest and entry.type == fs.FileType.File:
                yield name, entry.size or 0
            elif rest and entry.type == fs.FileType.Directory:
                yield from _matching(store, name, rest)
    if part == ANY_FOLDERS and rest:
        yield from _matching(store, folder, rest)


def _matches(name: str, part: str) -> bool:
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))


def _may_meet(parts: Sequence[str], place: Sequence[str]) -> bool:
    for part, segment in zip(parts, place, strict=False):
        if part == ANY_FOLDERS:
            return True
        if not fnmatchcase(segment, part):
            return False
    return True
