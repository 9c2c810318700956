"""From a URI to a filesystem, and whole-or-absent writes.

Filesystem objects hold credentials: make them where they are used, never pickle them. Credentials come from the
environment (AWS_ACCESS_KEY_ID and its like, a profile, an instance role), never from a URI. Endpoint and region of S3
come from there too (AWS_ENDPOINT_URL, AWS_REGION), or from the options of a URI. Reads, listings, writes and deletes
are tried again as ``retry.persist`` has it.
"""

import errno
import os
import re
import shutil
import tempfile
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from pyarrow import ArrowException, fs

from ue_ray.errors import RunError, UserError, one_line
from ue_ray.storage.retry import persist
from ue_ray.storage.s3 import S3, open_s3

T = TypeVar("T")

_BUCKETS = ("s3", "gs", "gcs")
_SECRET_PARAMETER = re.compile(r"key|secret|token|password|@", re.IGNORECASE)


class OutOfReach(RunError):
    """An input as a whole cannot be read any more: gone, no network, no permission. ``str(error)`` is one line."""


def resolve(uri: str) -> tuple[fs.FileSystem, str]:
    """Open the filesystem of ``uri`` and return it with the path in it, without a trailing slash.

    Takes local paths (relative ones are made absolute, ``~`` is expanded), ``file://``, ``s3://bucket/key`` and
    ``gs://`` (options as ``?endpoint_override=host:port&scheme=http&region=...``), and any other scheme fsspec knows.
    Bucket keys are taken to the letter, without percent-decoding. Raises UserError for a scheme nobody knows, a
    filesystem that cannot be opened, and a URI that carries credentials (which the message does not repeat).
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        if not uri:
            raise UserError("empty path: give a local path or a URI such as s3://bucket/folder")
        return fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(uri))
    location, _, query = rest.partition("?")
    _refuse_credentials(scheme, location, query)
    if scheme == "file":
        if not rest.startswith("/"):
            raise UserError(f"{uri}: a file:// URI needs an absolute path, as in file:///data/images")
        return fs.LocalFileSystem(), os.path.abspath(urllib.parse.unquote(rest))
    bucket = location.partition("/")[0]
    if scheme in _BUCKETS and not bucket:
        raise UserError(f"{uri}: names no bucket; expected {scheme}://bucket/folder")
    try:
        if scheme == "s3":
            return open_s3(bucket, query), location.rstrip("/")
        if scheme in _BUCKETS:
            # Only the bucket goes through Arrow's URI parser, which refuses spaces and decodes %xx in keys.
            filesystem, _ = fs.FileSystem.from_uri(f"{scheme}://{bucket}" + (f"?{query}" if query else ""))
            return filesystem, location.rstrip("/")
        import fsspec  # brings the long tail of schemes; not needed for the common ones

        handler, path = fsspec.core.url_to_fs(uri)
        return fs.PyFileSystem(fs.FSSpecHandler(handler)), str(path).rstrip("/")
    except (ArrowException, ImportError, OSError, ValueError) as error:
        reason = one_line(error)
        choices = "a local path, file://, s3://, gs:// or a scheme of fsspec"
        raise UserError(f"{uri}: cannot open (expected {choices}): {reason}") from None


def join(uri: str, *names: str) -> str:
    """``uri`` with ``names`` appended to its path (before the options of a ``scheme://...?options`` URI)."""
    separator, query = "", ""
    if "://" in uri and not uri.startswith("file://"):
        uri, separator, query = uri.partition("?")
    return "/".join([uri.rstrip("/") if uri.strip("/") else "", *names]) + separator + query


def absolute(uri: str) -> str:
    """``uri``, made absolute if it is a local path: what may be sent to a process with another working folder."""
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))


def read_bytes(uri: str) -> bytes:
    """The whole object at ``uri``. Raises FileNotFoundError or another OSError."""
    return read_file(*resolve(uri))


def read_if_there(uri: str) -> bytes | None:
    """The whole object at ``uri``; None if there is none. Raises another OSError."""
    try:
        return read_bytes(uri)
    except FileNotFoundError:
        return None


def read_file(filesystem: fs.FileSystem, path: str, limit: int | None = None) -> bytes:
    """The whole object at ``path``, its length checked.

    Raises FileNotFoundError or another OSError; EFBIG, reading nothing, if it is larger than ``limit`` bytes.
    """
    if isinstance(filesystem, S3):
        return filesystem.read(path, limit)

    def read() -> bytes:
        with filesystem.open_input_file(path) as file:
            size = file.size()
            if limit is not None and size > limit:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            data: bytes = file.read()
        if len(data) != size:
            raise OSError(errno.EIO, "short read")
        return data

    return persist(read)


def read_range(uri: str, start: int, count: int) -> bytes:
    """``count`` bytes of the object at ``uri`` from ``start`` on. Raises OSError (EIO) where it has fewer."""
    filesystem, path = resolve(uri)

    def read() -> bytes:
        with filesystem.open_input_file(path) as file:
            data: bytes = file.read_at(count, start)
        if len(data) != count:
            raise OSError(errno.EIO, "short read")
        return data

    return persist(read)


def write_bytes(uri: str, data: bytes) -> None:
    """Write ``data`` to ``uri``, replacing what is there: a reader sees the old object or the new one, never a part."""
    filesystem, path = resolve(uri)
    with staged(filesystem, path) as local, open(local, "wb") as file:
        file.write(data)


def create_exclusive(uri: str, data: bytes) -> bool:
    """Write ``data`` to ``uri`` if there is nothing yet; whether this call did so. Of several callers one wins.

    Whole or absent, and exact locally (a hard link of a finished file) and on S3 (a conditional put). There an answer
    may be lost and the put tried again: it counts as won if the object then holds ``data``, so put into ``data`` what
    only this caller has. Elsewhere it is as exact as fsspec's ``mode="create"`` for that store; where there is
    none, the look and the write are two steps, and two callers at the same moment may both win.
    """
    filesystem, path = resolve(uri)
    if isinstance(filesystem, S3):
        return filesystem.create(path, data)
    try:
        if isinstance(filesystem, fs.LocalFileSystem):
            with _local_staging(path) as staging:
                with open(staging, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(staging, path)
            return True
        if isinstance(filesystem, fs.PyFileSystem):
            with suppress(NotImplementedError):
                filesystem.handler.fs.pipe_file(path, data, mode="create")
                return True
    except FileExistsError:
        return False
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        return False
    write_bytes(uri, data)
    return True


def check_writable(uri: str) -> None:
    """Raises OSError if nothing can be written below the folder ``uri``; leaves nothing there.

    Locally the nearest folder that exists is asked for its permissions, elsewhere an object is put and deleted.
    """
    filesystem, path = resolve(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        while not os.path.lexists(path):
            path = os.path.dirname(path)
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return
    probe = f".probe-{uuid.uuid4().hex}"  # its own, because another run may be trying too
    write_bytes(join(uri, probe), b"")
    if isinstance(filesystem, S3):
        filesystem.delete(f"{path}/{probe}")  # Arrow would put a marker where the last object of a folder was
    else:
        filesystem.delete_file(f"{path}/{probe}")


def list_names(uri: str) -> list[str]:
    """The names of what lies directly in the folder ``uri``, sorted; empty where there is no folder."""
    filesystem, path = resolve(uri)
    selector = fs.FileSelector(path, allow_not_found=True)
    return sorted(entry.base_name for entry in persist(partial(filesystem.get_file_info, selector)))


def remove_tree(uri: str) -> None:
    """Delete the folder at ``uri`` and all below it; nothing happens where there is none."""
    filesystem, path = resolve(uri)
    if isinstance(filesystem, S3):
        filesystem.delete_below(path)
    elif filesystem.get_file_info(path).type == fs.FileType.Directory:
        persist(partial(filesystem.delete_dir, path))


def blame(filesystem: fs.FileSystem, root: str, read: Callable[[], T]) -> T:
    """``read()``; if it raises an OSError, find out what is to blame: the one object, or all of ``root``.

    Raises OutOfReach if ``root`` cannot be seen. When the network is down or the credentials have expired every read
    fails, and that must stop the work, not turn a whole collection into unreadable samples. Otherwise raises what
    ``read()`` raised.
    """
    try:
        return read()
    except OSError as failure:
        try:
            if isinstance(filesystem, S3):
                gone = not filesystem.exists(root)
            else:
                gone = persist(partial(filesystem.get_file_info, root)).type == fs.FileType.NotFound
        except OSError as error:
            raise OutOfReach(f"{root}: {one_line(error)}") from error
        if gone:
            raise OutOfReach(f"{root}: no longer there") from failure
        raise


def walk(filesystem: fs.FileSystem, root: str) -> Iterator[tuple[bytes, int]]:
    """Yield every file below the folder ``root``: its relative path and its size in bytes, in no particular order.

    Memory holds a page of 1,000 names on S3, one name locally and one folder's names elsewhere. On S3 a path is a
    key to the letter: it may hold empty segments, and end in ``/`` (a folder marker). Paths are bytes because a local
    name need not be UTF-8. A local link to a folder is yielded like a file, not entered: it may lead out of the root,
    or round in a loop. Raises OSError for a folder that cannot be listed.
    """
    if isinstance(filesystem, fs.LocalFileSystem):
        yield from _walk_local(os.fsencode(root))
    elif isinstance(filesystem, S3):
        for key, size in filesystem.walk(root):
            yield key.encode("utf-8", "surrogateescape"), size
    else:
        folders = [root]
        while folders:
            for info in persist(partial(filesystem.get_file_info, fs.FileSelector(folders.pop()))):
                if info.type == fs.FileType.Directory:
                    folders.append(info.path)
                else:
                    yield info.path[len(root) :].lstrip("/").encode(), info.size or 0


def _walk_local(root: bytes) -> Iterator[tuple[bytes, int]]:
    folders = [b""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                    continue
                try:
                    size = entry.stat().st_size
                except OSError:  # a broken link: listed all the same, so that it is rejected and not forgotten
                    size = 0
                yield name, size


@contextmanager
def staged(filesystem: fs.FileSystem, path: str, folder: str | None = None) -> Iterator[str]:
    """Give a local file name to write; publish it as ``path`` when the block ends, drop it if the block raises.

    Locally that is a rename, from ``folder`` on the same file system or from beside ``path`` (parents are created),
    elsewhere an upload. The published file is whole or absent.
    """
    if isinstance(filesystem, fs.LocalFileSystem):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with _local_staging(path, folder) as staging:
            yield staging
            with open(staging, "rb") as file:
                os.fsync(file.fileno())  # or a power cut could leave the new name with no content
            os.replace(staging, path)
        return
    handle, staging = tempfile.mkstemp(suffix=".tmp")
    os.close(handle)
    try:
        yield staging
        if isinstance(filesystem, S3):
            with open(staging, "rb") as file:
                filesystem.upload(path, file)
        else:
            persist(partial(_upload, filesystem, path, staging))
    finally:
        os.unlink(staging)


@contextmanager
def _local_staging(path: str, folder: str | None = None) -> Iterator[str]:
    """A name to write in ``folder`` or beside ``path``, which is made; what is left under it is removed."""
    beside, name = os.path.split(path)
    folder = folder or beside
    os.makedirs(folder, exist_ok=True)
    # Ends in .tmp, so that a leftover of a killed writer is never taken for a shard; unique, so that two attempts
    # at the same file do not write into each other.
    staging = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    try:
        yield staging
    finally:
        with suppress(FileNotFoundError):
            os.unlink(staging)


def _upload(filesystem: fs.FileSystem, path: str, local: str) -> None:
    if isinstance(filesystem, fs.PyFileSystem):
        filesystem.handler.fs.put_file(local, path)
        return
    with open(local, "rb") as file, filesystem.open_output_stream(path) as stream:
        shutil.copyfileobj(file, stream, 1 << 20)


def _refuse_credentials(scheme: str, location: str, query: str) -> None:
    authority = location.partition("/")[0]
    # A bucket has neither ":" nor "@" (and a secret may hold a "/", which ends the authority early); elsewhere
    # user@host and host:port are fine.
    password = r"[:@]" if scheme in _BUCKETS else r":[^@]*@"
    if re.search(password, authority) or _SECRET_PARAMETER.search(query):
        raise UserError(
            f"{scheme}:// URI with credentials in it (not repeated here): take them out, and give them through the "
            "environment, for example AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
