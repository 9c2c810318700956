"""A folder of class folders, on any filesystem: ``root/class/.../file``."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.errors import ReadFailure, UserError, one_line
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs.labels import classes, first_names, is_table, numbered, own_name, read_table, unlabelled
from ue_ray.storage.inputs.listing import CHUNK_ROWS, NO_LABEL, Listing, by_chunks, ids_of, in_one, links_left
from ue_ray.storage.inputs.visible import left_behind
from ue_ray.storage.local import LocalStore
from ue_ray.storage.retry import persist
from ue_ray.storage.store import NOT_FOLLOWED, Store

MAX_FILE_BYTES = 1 << 30
"""A larger file is a ReadFailure: no image, and enough to take a worker down with it."""

GLANCE = 1000
"""Files that a first look sees: what a bucket lists in one answer."""

READERS = 32  # threads that hide the latency of an object store

MARKER = ReadFailure("a folder marker, not a file")
LEFT_BEHIND = ReadFailure("left by a system or a tool, no picture")
OUTSIDE = ReadFailure("a link that leads outside the input folder (--follow-links follows it)")
LOOP = ReadFailure("a link to a folder that holds it, or behind too many links")
NOT_A_FILE = ReadFailure("not a regular file")
TOO_LARGE = ReadFailure(f"file larger than {MAX_FILE_BYTES >> 30} GiB")


@dataclass(frozen=True)
class FolderSource:
    """Every file below ``uri``, in the byte order of their paths.

    The label is that of the top folder (files at the top, or in a hidden top folder such as ``.cache``, have none); of
    a folder without folders it is its own name: somebody's photos are one class. Or it is what ``labels`` says: a key
    pattern, or the URI of a table (``open_source`` has the rules). It is an index into the sorted class names. Files
    without one, and empty objects that only mark a folder, are listed with label -1 and read as failures. Links are
    followed to what lies inside ``uri``, or anywhere with ``follow_links``; the others are listed without a label, and
    named in the listing's ``note``. ``uri`` is the folder of ``split``, where there is one of several ``splits`` beside
    each other.
    """

    uri: str
    labels: str | None = None
    split: str | None = None
    splits: tuple[str, ...] = ()
    follow_links: bool = False

    def list(self) -> Listing:
        return self._listing(self._walk())

    def glance(self) -> None:
        """Raises the UserError of ``list`` that GLANCE files, the top folders, or a table of labels show."""
        first = [*islice(self._walk(), GLANCE + 1)]
        more = len(first) > GLANCE
        if not more or (self.labels is None and not self.folders()):
            self._listing(iter(first[:GLANCE]), " and more" * more)
        elif self.labels is not None and is_table(self.labels):
            read_table(self.labels)

    def _walk(self) -> Iterator[tuple[bytes, int]]:
        try:
            yield from open_store(self.uri).walk("", self.follow_links)
        except OSError as error:
            raise UserError(f"{self.uri}: cannot list the folder: {one_line(error)}") from error

    def folders(self) -> tuple[str, ...]:
        """The classes that there can be: what is no file at the top, and not hidden."""
        entries = open_store(self.uri).entries()
        names = (entry.base_name for entry in entries if not entry.is_file)
        return tuple(sorted(name for name in names if not name.startswith(".")))

    def _listing(self, found: Iterator[tuple[bytes, int]], more: str = "") -> Listing:
        paths, sizes = _sorted(found)
        keys = _as_text(paths)
        links = pc.equal(sizes, NOT_FOLLOWED)
        sizes = pc.if_else(links, 0, sizes)
        unused = pc.or_(pc.or_(links, _markers(paths, sizes)), left_behind(keys))
        names = pc.if_else(unused, None, classes(keys, self.labels))
        if self.labels is None and names.null_count == len(names):
            at_top = pc.match_substring_regex(keys, r"^[^./][^/]*$")
            names = pc.if_else(pc.or_(unused, pc.invert(at_top)), None, own_name(self.uri))
        labels, class_names = numbered(names)
        columns = {"sample_id": ids_of(paths), "key": keys, "label": labels, "nbytes": sizes, "path": paths}
        count = pc.sum(links).as_py()
        note = links_left(count, keys.filter(links)[0].as_py()) if count else ""
        expected = "one folder a class" if self.labels is None else f"labels by {self.labels}"
        if not class_names:
            expected = f"{expected}; found {_kinds(keys)}{more}" + f"; {note}" * bool(note)
        listing = Listing(pa.table(columns), class_names, note=note).check(f"{self.uri} (expected {expected})")
        pa.default_memory_pool().release_unused()  # what sorting took; the process lives on beside the listing
        return listing

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        store = open_store(self.uri)
        failures = _failures(rows, self.labels)
        paths = rows["path"].to_pylist()
        if isinstance(store, LocalStore):
            root = os.fsencode(store.root)
            real_root = b"/" if self.follow_links else os.path.realpath(root)
            for path, failure in zip(paths, failures, strict=True):
                read = partial(_read_local, os.path.join(root, path), real_root, failure)
                yield attempt(store, partial(persist, read))
            return
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, rows.num_rows, READERS):  # a window at a time bounds the bytes held
                window = slice(start, start + READERS)
                yield from pool.map(partial(_read_remote, store), paths[window], failures[window])


def _failures(rows: pa.Table, labels: str | None) -> list[ReadFailure | None]:
    """Why each row is not to be read; None where it is."""
    no_label = ReadFailure(unlabelled(labels))
    markers = _markers(rows["path"], rows["nbytes"]).to_pylist()
    unused = left_behind(rows["key"]).to_pylist()
    return [
        MARKER if marker else LEFT_BEHIND if left else no_label if label == NO_LABEL else None
        for marker, left, label in zip(markers, unused, rows["label"].to_pylist(), strict=True)
    ]


def _sorted(found: Iterator[tuple[bytes, int]]) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Paths (binary) and sizes (int64) in the order of the paths, in chunks; Python holds one chunk of them."""
    path_chunks, size_chunks = [], []
    while some := list(islice(found, CHUNK_ROWS)):
        path_chunks.append(pa.array((path for path, _ in some), pa.large_binary()))
        size_chunks.append(pa.array((size for _, size in some), pa.int64()))
    # Large, for 2 GiB of paths and more; in one array, because of what ``in_one`` says.
    paths = pa.concat_arrays(path_chunks) if path_chunks else pa.array([], pa.large_binary())
    sizes = pa.concat_arrays(size_chunks) if size_chunks else pa.array([], pa.int64())
    path_chunks.clear()
    size_chunks.clear()
    order = pc.sort_indices(paths)
    parts = (order.slice(start, CHUNK_ROWS) for start in range(0, len(order), CHUNK_ROWS))
    in_order = pa.chunked_array((paths.take(part).cast(pa.binary()) for part in parts), pa.binary())
    return in_one(in_order), pa.chunked_array([sizes.take(order)])


def _as_text(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return paths.cast(pa.string())  # shares the buffers
    except pa.ArrowInvalid:  # bytes that are not UTF-8 are spelled out; ``path`` still finds the file
        spell = partial(bytes.decode, encoding="utf-8", errors="backslashreplace")
        return by_chunks(paths, lambda chunk: pa.array(map(spell, chunk.to_pylist()), pa.string()))


def _kinds(keys: pa.ChunkedArray) -> str:
    """How many files of which kinds there are, and where: a part of a message."""
    endings = pc.struct_field(pc.extract_regex(keys, r"[^/](?P<ending>\.[^./]+)$"), 0)
    counts = sorted(pc.fill_null(endings, "other").value_counts().to_pylist(), key=lambda kind: -kind["counts"])
    kinds = [f"{kind['counts']:,} {kind['values']} file{'s' * (kind['counts'] > 1)}" for kind in counts]
    places = "" if pc.any(pc.match_substring(keys, "/")).as_py() else " at the top"
    return first_names(kinds) + places if kinds else "no file"


def _markers(paths: pa.ChunkedArray, sizes: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which objects stand for an empty folder of a bucket: a key that ends in ``/``, and no bytes."""
    return pc.and_(pc.ends_with(paths, "/"), pc.equal(sizes, 0))


def attempt(store: Store, read: Callable[[], bytes | ReadFailure]) -> bytes | ReadFailure:
    """What ``read`` gives; a ReadFailure where it cannot. Raises OutOfReach if all of ``store`` is to blame."""
    try:
        return store.blame(read)
    except OSError as error:
        if error.errno == errno.EFBIG:
            return TOO_LARGE
        return ReadFailure(f"cannot read: {error.strerror or type(error).__name__}")


def _read_remote(store: Store, path: bytes, failure: ReadFailure | None) -> bytes | ReadFailure:
    if failure is not None:
        return failure
    name = path.decode("utf-8", "surrogateescape")
    return attempt(store, partial(store.read, name, MAX_FILE_BYTES))


def _read_local(path: bytes, real_root: bytes, failure: ReadFailure | None) -> bytes | ReadFailure:
    real = os.path.realpath(path)
    if not os.path.join(real, b"").startswith(os.path.join(real_root, b"")):
        return OUTSIDE
    status = os.stat(real)
    if stat.S_ISDIR(status.st_mode):
        return LOOP
    if not stat.S_ISREG(status.st_mode):  # a pipe would block for ever
        return NOT_A_FILE
    if failure is not None:
        return failure
    if status.st_size > MAX_FILE_BYTES:
        return TOO_LARGE
    with open(real, "rb") as file:
        return file.read()
