"""Listing, reading, writing and deleting through a proxy that fails one request in ten (``faulty_proxy``)."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.storage.faulty_proxy import FAULTS, FaultyProxy
from ue_ray.errors import ReadFailure, UserError
from ue_ray.storage import retry, s3
from ue_ray.storage.filesystem import create_exclusive, join, open_store, read_bytes, remove_tree, write_bytes
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.store import OutOfReach


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits asked for; none is kept. Stalls end early too."""
    asked: list[float] = []

    async def wait_async(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr(retry, "wait", asked.append)
    monkeypatch.setattr(retry, "wait_async", wait_async)
    monkeypatch.setattr(retry, "REQUEST_TIMEOUT_S", 0.5)
    s3._open.cache_clear()
    return asked


@pytest.fixture
def proxy(store: str, waits: list[float]) -> Iterator[FaultyProxy]:
    with FaultyProxy(store, seed=1) as proxy:
        yield proxy


def through(proxy: FaultyProxy, uri: str) -> str:
    """``uri``, by way of the proxy."""
    location, _, _ = uri.partition("?")
    return f"{location}?endpoint_override={proxy.address}&scheme=http&region=us-east-1"


def images(count: int) -> dict[str, bytes]:
    return {f"{'ab'[n % 2]}/{n:04d} é.png": os.urandom(50 + n) for n in range(count)}


def put(uri: str, objects: dict[str, bytes]) -> None:
    store = open_store(uri)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.write, objects, objects.values()))


def test_one_fault_in_ten_loses_nothing(bucket: str, proxy: FaultyProxy):
    uri = through(proxy, join(bucket, "in"))
    objects = images(400)
    proxy.probability = 0.1
    put(uri, objects)
    source = open_source(uri)
    rows = source.list().table
    assert dict(zip(rows["key"].to_pylist(), source.read(rows), strict=True)) == objects
    remove_tree(uri)
    assert set(proxy.injected) == set(FAULTS)
    assert sum(proxy.injected.values()) > 50
    proxy.probability = 0
    assert list(open_store(uri).walk()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_every_request_is_tried_again_after_each_fault(fault: str, bucket: str, proxy: FaultyProxy):
    proxy.faults = (fault,)
    proxy.probability = 0.3
    uri = through(proxy, join(bucket, "x"))
    for n in range(8):
        write_bytes(join(uri, f"{n}"), bytes([n]) * 1000)
        assert read_bytes(join(uri, f"{n}")) == bytes([n]) * 1000
    assert sorted(open_store(uri).walk()) == [(b"%d" % n, 1000) for n in range(8)]
    assert proxy.injected[fault] > 3


def test_a_large_upload_is_whole_in_parts(bucket: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    proxy.probability = 0.2
    data = os.urandom((12 << 20) + 3)
    write_bytes(through(proxy, join(bucket, "large")), data)
    assert read_bytes(join(bucket, "large")) == data
    proxy.probability, proxy.faults = 1, ("slow_down",)
    with pytest.raises(OSError, match="SlowDown"):
        write_bytes(through(proxy, join(bucket, "large")), bytes(6 << 20))
    assert read_bytes(join(bucket, "large")) == data


def test_parquet_is_read_through_faults(bucket: str, proxy: FaultyProxy, tmp_path: Path):
    for name in "abc":
        table = pa.table({"image": [f"{name}{row}".encode() for row in range(100)], "label": [0, 1] * 50})
        pq.write_table(table, tmp_path / name, row_group_size=20)
        write_bytes(join(bucket, "in", f"{name}.parquet"), (tmp_path / name).read_bytes())
    proxy.probability = 0.1
    source = open_source(through(proxy, join(bucket, "in")))
    rows = source.list().table
    assert list(source.read(rows)) == [f"{name}{row}".encode() for name in "abc" for row in range(100)]
    assert proxy.injected


def test_a_create_whose_answer_was_lost_is_still_won(bucket: str, proxy: FaultyProxy):
    uri = through(proxy, join(bucket, "claim"))
    proxy.probability, proxy.faults = 0.6, ("short",)  # the put arrives, its answer does not
    assert create_exclusive(uri, b"ours")
    assert proxy.injected
    assert not create_exclusive(uri, b"theirs")
    proxy.probability = 0
    assert read_bytes(uri) == b"ours"


def test_an_object_that_always_fails_takes_no_other_with_it(bucket: str, proxy: FaultyProxy, waits: list[float]):
    put(bucket, {"in/a/1": b"1", "in/b/2": b"2"})
    source = open_source(through(proxy, join(bucket, "in")))
    rows = source.list().table
    proxy.probability, proxy.faults, proxy.at = 1, ("slow_down",), b"/in/a/1 "
    assert list(source.read(rows)) == [ReadFailure("cannot read: GetObject answered SlowDown (503)"), b"2"]
    assert len(waits) >= retry.TRIES - 1
    proxy.at = b""
    with pytest.raises(OutOfReach):
        list(source.read(rows))


def test_a_wrong_secret_is_one_line_at_once(
    bucket: str, proxy: FaultyProxy, waits: list[float], monkeypatch: pytest.MonkeyPatch
):
    uri = through(proxy, join(bucket, "in"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UserError, match="SignatureDoesNotMatch") as caught:
        open_source(uri)
    assert "\n" not in str(caught.value)
    for attempt in (
        lambda: read_bytes(join(uri, "a")),
        lambda: write_bytes(join(uri, "a"), b""),
        lambda: create_exclusive(join(uri, "a"), b""),
        lambda: list(open_store(uri).walk()),
        lambda: remove_tree(uri),
    ):
        with pytest.raises(PermissionError, match="SignatureDoesNotMatch"):
            attempt()
    assert not waits
    assert proxy.requests < 10


def test_a_missing_bucket_is_one_line_at_once(bucket: str, proxy: FaultyProxy, waits: list[float]):
    uri = through(proxy, "s3://no-such-bucket/in")
    with pytest.raises(UserError, match="does not exist") as caught:
        open_source(uri)
    assert "\n" not in str(caught.value)
    for attempt in (lambda: read_bytes(join(uri, "a")), lambda: list(open_store(uri).walk())):
        with pytest.raises(FileNotFoundError):
            attempt()
    assert not waits
    assert proxy.requests < 10
