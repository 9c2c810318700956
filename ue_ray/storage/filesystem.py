"""From a URI to the store it names, and what is done with one object at a URI.

Credentials come from the environment (AWS_ACCESS_KEY_ID and its like, a profile, an instance role), never from a URI.
Endpoint and region of S3 come from there too (AWS_ENDPOINT_URL, AWS_REGION), or from the options of a URI.
"""

import os
import re
import urllib.parse

from pyarrow import ArrowException, fs

from ue_ray.errors import UserError, one_line
from ue_ray.storage.local import LocalStore
from ue_ray.storage.store import Store

_BUCKETS = ("s3", "gs", "gcs")
_SECRET_PARAMETER = re.compile(r"key|secret|token|password|@", re.IGNORECASE)


def open_store(uri: str) -> Store:
    """The store whose root is the folder or object at ``uri``.

    Takes local paths (relative ones are made absolute, ``~`` is expanded), ``file://``, ``s3://bucket/key`` and
    ``gs://`` (options as ``?endpoint_override=host:port&scheme=http&region=...``), and any other scheme fsspec knows.
    Bucket keys are taken to the letter, without percent-decoding. Raises UserError for a scheme nobody knows, a
    filesystem that cannot be opened, and a URI that carries credentials (which the message does not repeat).
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        if not uri:
            raise UserError("empty path: give a local path or a URI such as s3://bucket/folder")
        return LocalStore(fs.LocalFileSystem(), absolute(uri))
    location, _, query = rest.partition("?")
    _refuse_credentials(scheme, location, query)
    if scheme in ("file", "local"):
        if not rest.startswith("/"):
            raise UserError(f"{uri}: a file:// URI needs an absolute path, as in file:///data/images")
        return LocalStore(fs.LocalFileSystem(), os.path.abspath(urllib.parse.unquote(rest)))
    bucket = location.partition("/")[0]
    if scheme in _BUCKETS and not bucket:
        raise UserError(f"{uri}: names no bucket; expected {scheme}://bucket/folder")
    try:
        if scheme == "s3":
            from ue_ray.storage.s3 import S3Store, open_s3  # s3fs is slow to import, and only S3 needs it

            return S3Store(open_s3(query), location.rstrip("/"))
        if scheme in _BUCKETS:
            # Only the bucket goes through Arrow's URI parser, which refuses spaces and decodes %xx in keys.
            filesystem, _ = fs.FileSystem.from_uri(f"{scheme}://{bucket}" + (f"?{query}" if query else ""))
            return Store(filesystem, location.rstrip("/"))
        import fsspec  # brings the long tail of schemes; not needed for the common ones

        handler, path = fsspec.core.url_to_fs(uri)
        return Store(fs.PyFileSystem(fs.FSSpecHandler(handler)), str(path).rstrip("/"))
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


def overlap(uri: str, other: str) -> bool:
    """Whether two places are one, or one holds the other, however they are written: links, ``./``, options."""
    pairs = zip(open_store(uri).location, open_store(other).location, strict=False)
    return all(segment == counterpart for segment, counterpart in pairs)


def read_bytes(uri: str) -> bytes:
    """``Store.read`` of the object at ``uri``."""
    return open_store(uri).read()


def read_if_there(uri: str) -> bytes | None:
    """``Store.read_if_there`` of the object at ``uri``."""
    return open_store(uri).read_if_there()


def read_range(uri: str, start: int, count: int) -> bytes:
    """``Store.read_range`` of the object at ``uri``."""
    return open_store(uri).read_range("", start, count)


def write_bytes(uri: str, data: bytes) -> None:
    """``Store.write`` of the object at ``uri``."""
    open_store(uri).write("", data)


def create_exclusive(uri: str, data: bytes) -> bool:
    """``Store.create_exclusive`` of the object at ``uri``."""
    return open_store(uri).create_exclusive("", data)


def check_writable(uri: str) -> None:
    """``Store.check_writable`` of the folder at ``uri``."""
    open_store(uri).check_writable()


def list_names(uri: str) -> list[str]:
    """``Store.names`` of the folder at ``uri``."""
    return open_store(uri).names()


def remove_tree(uri: str) -> None:
    """``Store.remove_tree`` of the folder at ``uri``."""
    open_store(uri).remove_tree()


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
