"""S3 and what speaks like it: Arrow's filesystem, and beside it requests that take every key to the letter.

Arrow lists a folder as one Python list and knows no key with an empty segment or a final ``/``, and it has no
conditional put. So objects are listed, read, written whole and deleted by botocore, page by page; Arrow opens Parquet.
Both take credentials from where AWS clients look (environment, profile, instance role), and nothing else from there:
endpoint and region are settled here, once, for both.
"""

import errno
import functools
import os
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, TypeVar

from pyarrow import ArrowException, fs

from ue_ray.errors import UserError, one_line
from ue_ray.storage import retry
from ue_ray.storage.retry import persist

T = TypeVar("T")

PART_BYTES = 64 << 20  # a larger upload goes in parts of this size: one that fails is sent again alone
CONNECTIONS = 32

_OPTIONS = ("endpoint_override", "scheme", "region", "allow_bucket_creation")
_PASSING = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded", "InternalError"}
_PASSING |= {"ConditionalRequestConflict", "OperationAborted", "IncompleteBody", "BadDigest"}
_DENIED = {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}


@dataclass(frozen=True)
class Place:
    """Where a store is: ``endpoint`` as ``scheme://host:port``, None for AWS itself. Holds no secret."""

    endpoint: str | None
    region: str | None
    allow_bucket_creation: bool = False

    @classmethod
    def of(cls, query: str) -> "Place":
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
        creation = options.get("allow_bucket_creation", "false").lower() in ("true", "1")
        return cls(endpoint.rstrip("/") if endpoint else None, region, creation)


class S3(fs.S3FileSystem):
    """Arrow's filesystem of one store, and whole-object requests beside it; paths are ``bucket/key``, no ``s3://``.

    Every request is tried again as ``retry.persist`` has it. Errors are OSErrors of one line: FileNotFoundError,
    PermissionError, FileExistsError, or, when the tries are used up, another. A pickle holds the place, no secret.
    """

    def __init__(self, place: Place) -> None:
        options: dict[str, Any] = {}
        if place.endpoint:
            scheme, _, host = place.endpoint.partition("://")
            options = {"scheme": scheme, "endpoint_override": host}
        super().__init__(
            region=place.region or "us-east-1",
            allow_bucket_creation=place.allow_bucket_creation,
            connect_timeout=retry.CONNECT_TIMEOUT_S,
            request_timeout=retry.REQUEST_TIMEOUT_S,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=retry.TRIES),
            **options,
        )
        self.place = place

    def __reduce__(self) -> tuple[type["S3"], tuple[Place]]:
        return S3, (self.place,)  # Arrow's own would write the secret down

    def walk(self, root: str) -> Iterator[tuple[str, int]]:
        """Every key below ``root``, relative to it, and its size in bytes: a page of 1,000 in memory at a time."""
        bucket, prefix = _split(root)
        prefix = f"{prefix}/" if prefix else ""
        more: dict[str, str] = {}
        while True:
            page = self._request("list_objects_v2", Bucket=bucket, Prefix=prefix, **more)
            for entry in page.get("Contents", ()):
                if entry["Key"] != prefix:  # the folder marker of the root itself is no input
                    yield entry["Key"][len(prefix) :], entry["Size"]
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def exists(self, path: str) -> bool:
        """Whether there is an object at ``path`` or below it."""
        bucket, key = _split(path)
        if self._request("list_objects_v2", Bucket=bucket, Prefix=f"{key}/" if key else "", MaxKeys=1).get("Contents"):
            return True
        with suppress(FileNotFoundError):
            return bool(key and self._request("head_object", Bucket=bucket, Key=key))
        return False

    def read(self, path: str, limit: int | None = None) -> bytes:
        """The whole object, its length checked. Raises OSError (EFBIG), reading nothing, above ``limit`` bytes."""
        bucket, key = _split(path)

        def get() -> bytes:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            with closing(answer["Body"]) as body:
                if limit is not None and answer["ContentLength"] > limit:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                data: bytes = body.read()
            if len(data) != answer["ContentLength"]:
                raise OSError(errno.EIO, "short read")
            return data

        return persist(lambda: _translated("GetObject", path, get))

    def upload(self, path: str, file: BinaryIO) -> None:
        """Write the object with what ``file`` holds: whole or, on any error, as it was before."""
        bucket, key = _split(path)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if size <= PART_BYTES:
            self._request("put_object", Bucket=bucket, Key=key, Body=file.read())
            return
        upload = {"Bucket": bucket, "Key": key}
        upload["UploadId"] = self._request("create_multipart_upload", **upload)["UploadId"]
        try:
            parts = []
            for number, part in enumerate(iter(functools.partial(file.read, PART_BYTES), b""), start=1):
                tag = self._request("upload_part", PartNumber=number, Body=part, **upload)["ETag"]
                parts.append({"PartNumber": number, "ETag": tag})
            self._request("complete_multipart_upload", MultipartUpload={"Parts": parts}, **upload)
        except BaseException:
            with suppress(OSError):
                self._request("abort_multipart_upload", **upload)
            raise

    def create(self, path: str, data: bytes) -> bool:
        """Put ``data`` if there is no object (``If-None-Match: *``); whether that was done."""
        bucket, key = _split(path)
        tries = 0

        def put() -> None:
            nonlocal tries
            tries += 1
            self._client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")

        try:
            persist(lambda: _translated("PutObject", path, put))
        except FileExistsError:
            # A put whose answer was lost may have been ours.
            return tries > 1 and self.read(path) == data
        return True

    def delete(self, path: str) -> None:
        """Delete the object; nothing happens where there is none."""
        bucket, key = _split(path)
        self._delete(bucket, [key])

    def delete_below(self, root: str) -> None:
        """Delete every object below the folder ``root``, its marker too."""
        bucket, prefix = _split(root)
        keys = (f"{prefix}/{name}" if prefix else name for name, _ in self.walk(root))
        while some := list(islice(keys, 1000)):
            self._delete(bucket, some)
        if prefix:
            self._delete(bucket, [f"{prefix}/"])

    def _delete(self, bucket: str, keys: Iterable[str]) -> None:
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        failed = self._request("delete_objects", Bucket=bucket, Delete=wanted).get("Errors", [])
        if failed:
            raise OSError(errno.EIO, f"{bucket}: {len(failed)} objects not deleted: {failed[0].get('Code')}")

    @functools.cached_property
    def _client(self) -> Any:
        from botocore.config import Config  # slow to import, and only S3 needs it
        from botocore.session import Session

        elsewhere = self.place.endpoint is not None
        # Checksums that AWS adds by default are refused by some stores that only speak like it.
        checksums = "when_required" if elsewhere else "when_supported"
        config = Config(
            connect_timeout=retry.CONNECT_TIMEOUT_S,
            read_timeout=retry.REQUEST_TIMEOUT_S,
            retries={"total_max_attempts": 1},  # ``persist`` makes the tries
            max_pool_connections=CONNECTIONS,
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            s3={"addressing_style": "path" if elsewhere else "auto"},  # as Arrow does
        )
        region = self.place.region or "us-east-1"
        return Session().create_client("s3", region_name=region, endpoint_url=self.place.endpoint, config=config)

    def _request(self, operation: str, **arguments: Any) -> dict[str, Any]:
        what = operation.title().replace("_", "")
        where = "/".join(arguments[name] for name in ("Bucket", "Key") if name in arguments)
        return persist(lambda: _translated(what, where, lambda: getattr(self._client, operation)(**arguments)))


def open_s3(bucket: str, query: str) -> S3:
    """The store that holds ``bucket``. One object a process, place and set of credentials: its connections are kept.

    Raises UserError or an error of Arrow's if the place cannot be made out.
    """
    place = Place.of(query)
    if place.endpoint is None and place.region is None:
        place = Place(None, _region_of(bucket), place.allow_bucket_creation)
    return _open(place, tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith("AWS_"))))


@functools.lru_cache(maxsize=8)
def _open(place: Place, environment: tuple[tuple[str, str], ...]) -> S3:
    return S3(place)  # ``environment`` is part of the key only: other credentials, another client


@functools.lru_cache(maxsize=64)
def _region_of(bucket: str) -> str:
    try:
        return str(fs.resolve_s3_region(bucket))
    except (ArrowException, OSError) as error:
        reason = one_line(error)
        raise UserError(f"s3://{bucket}: cannot find the bucket's region (or set AWS_REGION): {reason}") from None


def _split(path: str) -> tuple[str, str]:
    bucket, _, key = path.partition("/")
    return bucket, key


def _translated(operation: str, path: str, request: Callable[[], T]) -> T:
    """``request()``, with botocore's errors made OSErrors: code and place only, none of the answer's text."""
    from botocore import exceptions as b
    from botocore.parsers import ResponseParserError

    cut = (b.IncompleteReadError, b.ResponseStreamingError, ResponseParserError, b.FlexibleChecksumError)
    try:
        return request()
    except b.ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise _os_error(status, code, f"{operation} answered {code or 'an error'} ({status})", path) from None
    except (b.NoCredentialsError, b.PartialCredentialsError):
        advice = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role"
        raise PermissionError(errno.EACCES, advice, path) from None
    except (b.HTTPClientError, *cut) as error:
        raise OSError(errno.EIO, f"{operation} failed: {type(error).__name__}", path) from None
    except b.BotoCoreError as error:
        raise OSError(errno.EINVAL, f"{operation} cannot be asked: {type(error).__name__}", path) from None


def _os_error(status: int, code: str, line: str, path: str) -> OSError:
    if code in _PASSING or status >= 500 or status == 429:
        return OSError(errno.EIO, line, path)
    if code in _DENIED or status in (401, 403):
        return PermissionError(errno.EACCES, line, path)
    if status == 404:
        return FileNotFoundError(errno.ENOENT, line, path)
    if status == 412:
        return FileExistsError(errno.EEXIST, line, path)
    return OSError(errno.EINVAL, line, path)
