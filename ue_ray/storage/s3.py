"""A folder in S3 or in what speaks like it, through s3fs.

s3fs is the client; ``docs/buckets.md`` lists what it does differently from what is needed here, and
``tests/storage/test_s3fs.py`` shows each. Credentials come from where AWS clients look (environment, profile, instance
role).
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from fsspec.asyn import sync_wrapper
from pyarrow import fs
from s3fs import S3FileSystem
from s3fs.core import S3File

from ue_ray.storage import retry
from ue_ray.storage.store import Store

T = TypeVar("T")
Page = dict[str, Any]  # an answer to list_objects_v2

PART_BYTES = 64 << 20  # an upload of two or more goes in parts of this size: one that fails is sent again alone
CONNECTIONS = 32
FEW_FOLDERS = 10  # in 1,000 keys: with more, a request a folder would be many more requests than those of one listing
LONGEST_REQUEST_S = 600

_OPTIONS = ("endpoint_override", "scheme", "region")
_PASSING = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded", "InternalError"}
_PASSING |= {"ConditionalRequestConflict", "OperationAborted", "IncompleteBody", "BadDigest"}
_DENIED = {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}


@dataclass(frozen=True)
class Place:
    """Where a store is: ``endpoint`` as ``scheme://host:port``, None for AWS itself. Holds no secret."""

    endpoint: str | None
    region: str | None

    @classmethod
    def of(cls, query: str) -> Place:
        """From the options of a URI, else from AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION or
        AWS_DEFAULT_REGION. Raises ValueError for an option that there is not."""
        options = dict(urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        if unknown := sorted(options.keys() - set(_OPTIONS)):
            raise ValueError(f"no option {unknown[0]!r}; choose from {', '.join(_OPTIONS)}")
        environment = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        endpoint = options.get("endpoint_override") or environment
        if endpoint and "://" not in endpoint:
            endpoint = f"{options.get('scheme', 'https')}://{endpoint}"
        region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return cls(endpoint.rstrip("/") if endpoint else None, region)


class S3(S3FileSystem):
    """s3fs for one place. Paths are ``bucket/key``, the key to the letter; a pickle holds the place, no secret.

    Every request is tried again as ``retry.persist`` has it. Errors are OSErrors of one line: FileNotFoundError,
    PermissionError, FileExistsError, or, when the tries are used up, another.
    """

    cachable = False  # ``open_s3`` keeps them, by credentials too
    retries = 1  # of s3fs; ``_call_s3`` makes the tries

    def __init__(self, place: Place) -> None:
        self.place = place
        # Checksums that AWS adds by default are refused by some stores that only speak like it.
        checksums = "when_required" if place.endpoint else "when_supported"
        region = place.region or ("us-east-1" if place.endpoint else None)
        super().__init__(
            endpoint_url=place.endpoint,
            client_kwargs={"region_name": region} if region else {},
            config_kwargs={
                "connect_timeout": retry.CONNECT_TIMEOUT_S,
                "read_timeout": retry.REQUEST_TIMEOUT_S,
                "retries": {"total_max_attempts": 1},  # of botocore
                "max_pool_connections": CONNECTIONS,
                "request_checksum_calculation": checksums,
                "response_checksum_validation": checksums,
                "s3": {"addressing_style": "path" if place.endpoint else "auto"},
            },
            cache_regions=True,  # asks AWS for a bucket's region where none is given
            use_listings_cache=False,
            max_concurrency=1,
        )

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    async def _call_s3(self, method: str, *options: dict[str, Any], **arguments: Any) -> Any:
        return await retry.persist_async(partial(self._try_s3, method, *options, **arguments))

    call_s3 = sync_wrapper(_call_s3)

    async def _try_s3(self, method: str, *options: dict[str, Any], **arguments: Any) -> Any:
        """One request, tried once."""
        where = "/".join(arguments[name] for name in ("Bucket", "Key") if name in arguments)
        try:
            # The bound is for a connection that is waited for and never comes: nothing else ends that.
            return await asyncio.wait_for(super()._call_s3(method, *options, **arguments), LONGEST_REQUEST_S)
        except Exception as error:
            raise _os_error(method.title().replace("_", ""), where, error) from None

    async def _fetch(self, path: str, start: int = 0, end: int | None = None, limit: int | None = None) -> bytes:
        """Reads an object, or its bytes from ``start`` to ``end``. Raises OSError (EFBIG) above ``limit`` bytes."""
        bucket, key, _ = self.split_path(path)
        part = {} if end is None else {"Range": f"bytes={start}-{end - 1}"}

        async def fetch() -> bytes:
            answer = await self._try_s3("get_object", Bucket=bucket, Key=key, **part)
            async with answer["Body"] as body:
                if limit is not None and answer["ContentLength"] > limit:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                try:
                    data: bytes = await body.read()
                except Exception as error:  # whatever it is, the connection was cut
                    raise OSError(errno.EIO, f"GetObject failed: {type(error).__name__}", path) from None
            if len(data) != answer["ContentLength"]:
                raise OSError(errno.EIO, "short read", path)
            return data

        return await retry.persist_async(fetch)

    fetch = sync_wrapper(_fetch)

    async def _create(self, path: str, data: bytes) -> bool:
        """Put ``data`` if there is no object (``If-None-Match: *``); whether that was done."""
        bucket, key, _ = self.split_path(path)
        tries = 0

        async def put() -> None:
            nonlocal tries
            tries += 1
            await self._try_s3("put_object", Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")

        try:
            await retry.persist_async(put)
        except FileExistsError:
            # A put whose answer was lost may have been ours.
            return tries > 1 and await self._fetch(path) == data
        return True

    create = sync_wrapper(_create)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> S3File:
        return _File(self, path, mode, cache_type="none")  # Arrow asks for what it needs, no more


class _File(S3File):
    """An object, read piece by piece; each piece is tried again as any request."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.fetch(self.path, start, end)


class S3Store(Store):
    """A folder in a bucket; ``root`` is ``bucket/key``. A folder is there if an object lies below it."""

    filesystem: S3

    @property
    def location(self) -> tuple[str, ...]:
        return ("s3", self.filesystem.place.endpoint or "", *self.root.split("/"))

    def open(self, name: str = "") -> S3File:
        return self.filesystem.open(self.path(name))

    def read(self, name: str = "", limit: int | None = None) -> bytes:
        return self.filesystem.fetch(self.path(name), limit=limit)

    def read_range(self, name: str, start: int, count: int) -> bytes:
        data = self.filesystem.fetch(self.path(name), start, start + count)
        if len(data) != count:
            raise OSError(errno.EIO, "short read", self.path(name))
        return data

    def create_exclusive(self, name: str, data: bytes) -> bool:
        """An answer may be lost and the put tried again: it counts as won if the object then holds ``data``, so put
        into ``data`` what only this caller has."""
        return self.filesystem.create(self.path(name), data)

    def upload(self, local: str, name: str) -> None:
        self.filesystem.put_file(local, self.path(name), chunksize=PART_BYTES)

    def info(self, name: str = "") -> fs.FileInfo:
        path = self.path(name)
        bucket, _, key = path.partition("/")
        try:
            # Not the object first, as s3fs asks: the answer to a HEAD has no body that could say what is wrong.
            if next(self._pages(name, MaxKeys=1)).get("Contents"):
                return fs.FileInfo(path, fs.FileType.Directory)
            size = self.filesystem.call_s3("head_object", Bucket=bucket, Key=key)["ContentLength"] if key else None
        except FileNotFoundError:
            size = None
        return fs.FileInfo(path, fs.FileType.NotFound if size is None else fs.FileType.File, size=size)

    def entries(self, name: str = "") -> list[fs.FileInfo]:
        bucket = self.root.partition("/")[0]
        entries = []
        try:
            for page in self._pages(name, Delimiter="/"):
                folders, files = page.get("CommonPrefixes", ()), page.get("Contents", ())
                entries += [
                    fs.FileInfo(f"{bucket}/{folder['Prefix'][:-1]}", fs.FileType.Directory) for folder in folders
                ]
                entries += [
                    fs.FileInfo(f"{bucket}/{file['Key']}", fs.FileType.File, size=file["Size"])
                    for file in files
                    if not file["Key"].endswith("/")
                ]
        except FileNotFoundError:
            return []
        return entries

    def walk(self, name: str = "", follow_links: bool = False) -> Iterator[tuple[bytes, int]]:
        bucket, prefix = self._prefix(name)
        start = len(prefix)
        for page in self._pages_below(bucket, prefix):
            for entry in page.get("Contents", ()):
                if key := entry["Key"][start:]:  # none: the folder marker of the root itself, which is no input
                    yield key.encode("utf-8", "surrogateescape"), entry["Size"]

    def remove(self, name: str) -> None:
        self.filesystem.rm_file(self.path(name))

    def remove_tree(self, name: str = "") -> None:
        bucket, _ = self._prefix(name)
        keys = (entry["Key"] for page in self._pages(name) for entry in page.get("Contents", ()))
        while some := [{"Key": key} for key in islice(keys, 1000)]:
            answer = self.filesystem.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": some, "Quiet": True})
            if failed := answer.get("Errors"):
                raise OSError(errno.EIO, f"{bucket}: {len(failed)} objects not deleted: {failed[0].get('Code')}")

    def persist(self, read: Callable[[], T]) -> T:
        return read()  # each request has been tried again

    def _prefix(self, name: str) -> tuple[str, str]:
        """The bucket, and what the keys of all objects below the folder begin with."""
        bucket, _, key = self.path(name).partition("/")
        return bucket, f"{key}/" if key else ""

    def _pages(self, name: str, **options: Any) -> Iterator[Page]:
        """The answers that list the folder, up to 1,000 objects each."""
        bucket, prefix = self._prefix(name)
        yield from self._pages_of(bucket, prefix, **options)

    def _pages_of(self, bucket: str, prefix: str, **options: Any) -> Iterator[Page]:
        token = None
        while True:
            page = self._page(bucket, prefix, token, **options)
            yield page
            if (token := _next(page)) is None:
                return

    def _pages_below(self, bucket: str, prefix: str) -> Iterator[Page]:
        """The answers that list all objects whose keys begin with ``prefix``, in no particular order.

        Where the first answer is not all, and has FEW_FOLDERS or fewer, the folders are listed beside each other: keys
        are taken apart by what they begin with alone, whatever order a store lists them in.
        """
        pages = self._pages_of(bucket, prefix)
        first = next(pages)
        names = [entry["Key"][len(prefix) :] for entry in first.get("Contents", ())]
        folders = {name.partition("/")[0] for name in names if "/" in name}
        if _next(first) is None or not 0 < len(folders) <= FEW_FOLDERS:
            yield first
            yield from pages
            return
        below = []
        for page in self._pages_of(bucket, prefix, Delimiter="/"):
            yield page
            below += [folder["Prefix"] for folder in page.get("CommonPrefixes", ())]
        if len(below) == 1:
            yield from self._pages_below(bucket, below[0])
        else:
            yield from self._pages_beside(bucket, below)

    def _pages_beside(self, bucket: str, prefixes: Iterable[str]) -> Iterator[Page]:
        """The answers that list the objects below each of ``prefixes``: CONNECTIONS requests at a time."""
        waiting: deque[tuple[str, str | None]] = deque((prefix, None) for prefix in prefixes)
        running: dict[Future[Page], str] = {}
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            while waiting or running:
                while waiting and len(running) < CONNECTIONS:
                    prefix, token = waiting.popleft()
                    running[pool.submit(self._page, bucket, prefix, token)] = prefix
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    prefix, page = running.pop(done), done.result()
                    yield page
                    if (token := _next(page)) is not None:
                        waiting.append((prefix, token))

    def _page(self, bucket: str, prefix: str, token: str | None, **options: Any) -> Page:
        if token is not None:
            options["ContinuationToken"] = token
        page: Page = self.filesystem.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **options)
        return page


def _next(page: Page) -> str | None:
    """What to go on from; None where a page is the last."""
    return page["NextContinuationToken"] if page.get("IsTruncated") else None


def open_s3(query: str) -> S3:
    """The client for the options of a URI. One object a process, place and set of credentials: it keeps connections."""
    environment = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _open(Place.of(query), environment, os.getpid())


@functools.lru_cache(maxsize=8)
def _open(place: Place, environment: tuple[tuple[str, str], ...], process: int) -> S3:
    return S3(place)  # the rest is part of the key only: other credentials or a forked process, another client


def _os_error(operation: str, path: str, error: Exception) -> OSError:
    """``error`` of s3fs as an OSError with code and place only, none of the answer's text."""
    response = getattr(error.__cause__, "response", None)
    if response is None:  # no answer; botocore's errors by name, because s3fs brings it along
        name = type(error).__name__
        if "Credentials" in name:
            advice = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role"
            return PermissionError(errno.EACCES, advice, path)
        return OSError(
            errno.EINVAL if name == "ParamValidationError" else errno.EIO, f"{operation} failed: {name}", path
        )
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(response.get("Error", {}).get("Code", ""))
    line = f"{operation} answered {code or 'an error'} ({status})"
    if code in _PASSING or status >= 500 or status == 429:
        return OSError(errno.EIO, line, path)
    if code in _DENIED or status in (401, 403):
        return PermissionError(errno.EACCES, line, path)
    if status == 404:
        return FileNotFoundError(errno.ENOENT, line, path)
    if status == 412:
        return FileExistsError(errno.EEXIST, line, path)
    return OSError(errno.EINVAL, line, path)
