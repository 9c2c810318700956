import io
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import pytest

from ue_ray.errors import UserError
from ue_ray.storage import retry
from ue_ray.storage.filesystem import (
    absolute,
    create_exclusive,
    join,
    open_store,
    overlap,
    read_bytes,
    remove_tree,
    write_bytes,
)
from ue_ray.storage.local import LocalStore
from ue_ray.storage.s3 import S3Store
from ue_ray.storage.store import OutOfReach


def test_local_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for uri in ("images", "./images/", "~/images", str(tmp_path / "images"), f"file://{tmp_path}/images"):
        store = open_store(uri)
        assert isinstance(store, LocalStore)
        assert store.root == str(tmp_path / "images")
    assert absolute("images") == absolute("~/images") == str(tmp_path / "images")


def test_places_overlap_however_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "link").symlink_to("photos")
    bucket = "s3://photos/cats?endpoint_override=localhost:9&scheme=http"
    for first, second in [
        ("photos", f"{tmp_path}/photos/"),
        ("photos/cat", f"file://{tmp_path}/./photos"),
        ("link/new", "photos"),
        ("link", "photos/cat"),
        (f"local://{tmp_path}/photos/new", "link"),
        ("memory://photos/./cat/", "memory://photos"),
        (bucket, "s3://photos/cats/new/?scheme=http&endpoint_override=localhost:9&region=eu-west-1"),
    ]:
        assert overlap(first, second), (first, second)
        assert overlap(second, first), (first, second)
    for first, second in [
        ("photos", "photos-protected"),
        ("photos/cat", "photos/dog"),
        ("photos", "s3://photos"),
        (bucket, "s3://photos/cats?endpoint_override=localhost:8&scheme=http"),
        (bucket, "s3://photos/cat?endpoint_override=localhost:9&scheme=http"),
    ]:
        assert not overlap(first, second), (first, second)


def test_file_uris_are_percent_decoded_and_plain_paths_are_not():
    assert open_store("file:///a%20b").root == "/a b"
    assert open_store("/a%20b?c").root == "/a%20b?c"


def test_bucket_keys_are_taken_to_the_letter():
    store = open_store("s3://bucket/a b/50%25/?region=us-east-1&endpoint_override=127.0.0.1:1&scheme=http")
    assert isinstance(store, S3Store)
    assert store.root == "bucket/a b/50%25"


def test_fsspec_serves_the_other_schemes():
    write_bytes("memory://box/a.bin", b"abc")
    assert read_bytes("memory://box/a.bin") == b"abc"
    assert list(open_store("memory://box").walk()) == [(b"a.bin", 3)]


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIAEXAMPLE:hunter2@bucket/images",
        "s3://AKIAEXAMPLE:hunt/hunter2@bucket/images",
        "s3://bucket/images?secret_key=hunter2",
        "s3://bucket/images?endpoint_override=me:hunter2@127.0.0.1",
        "https://me:hunter2@example.org/images",
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str):
    with pytest.raises(UserError, match="credentials") as caught:
        open_store(uri)
    assert "hunter2" not in str(caught.value)
    assert "AKIAEXAMPLE" not in str(caught.value)


@pytest.mark.parametrize("uri", ["", "nosuch://x/y", "file://relative/path", "s3://", "s3://bucket/x?nosuch=1"])
def test_uris_nobody_can_open_are_one_line_errors(uri: str):
    with pytest.raises(UserError) as caught:
        open_store(uri)
    assert "\n" not in str(caught.value)


def test_join_goes_before_the_options():
    assert join("/a/b", "c") == "/a/b/c"
    assert join("/a/b/", "c", "d.json") == "/a/b/c/d.json"
    assert join("/", "a") == "/a"
    assert join("/odd?name", "c") == "/odd?name/c"
    assert join("s3://bucket/a?region=x", "c") == "s3://bucket/a/c?region=x"


def test_writing_creates_folders_and_replaces(tmp_path: Path):
    target = tmp_path / "a" / "b.bin"
    write_bytes(str(target), b"one")
    write_bytes(str(target), b"two")
    assert read_bytes(str(target)) == b"two"
    assert os.listdir(target.parent) == ["b.bin"]


def test_published_files_follow_the_umask(tmp_path: Path):
    before = os.umask(0o027)
    try:
        write_bytes(str(tmp_path / "a"), b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("uri", ["{tmp}/a.bin", "memory://dropped/a.bin"])
def test_a_write_that_fails_leaves_what_was_there(uri: str, tmp_path: Path):
    uri = uri.format(tmp=tmp_path)
    write_bytes(uri, b"old")
    with suppress(RuntimeError), open_store(uri).staged() as local:
        Path(local).write_bytes(b"half of the ne")
        raise RuntimeError
    assert read_bytes(uri) == b"old"
    assert not Path(local).exists()


def test_a_read_that_fails_is_blamed_on_the_object_or_on_the_root(tmp_path: Path):
    def read() -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        open_store(str(tmp_path)).blame(read)
    with pytest.raises(OutOfReach, match="no longer there"):
        open_store(str(tmp_path / "gone")).blame(read)


def test_a_remote_upload_carries_all_bytes():
    data = bytes(io.BytesIO(os.urandom(3 << 20)).getbuffer())
    write_bytes("memory://large/a.bin", data)
    assert read_bytes("memory://large/a.bin") == data


def race(uri: str) -> list[bytes]:
    """Eight callers try to create ``uri`` at once, each with content of its own; the content of those that won."""
    offers = [f"{n}".encode() * 50_000 for n in range(8)]
    start = Barrier(8)

    def attempt(data: bytes) -> bool:
        start.wait()
        return create_exclusive(uri, data)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, offers))
    return [data for data, winner in zip(offers, won, strict=True) if winner]


def test_of_eight_local_creators_one_wins(tmp_path: Path):
    for n in range(10):
        target = tmp_path / f"{n}/claim"
        assert race(str(target)) == [target.read_bytes()]
        assert os.listdir(target.parent) == ["claim"]


def test_of_eight_creators_in_a_bucket_one_wins(bucket: str):
    for n in range(3):
        assert race(join(bucket, f"{n}")) == [read_bytes(join(bucket, f"{n}"))]


def test_create_where_fsspec_does_it():
    assert create_exclusive("memory://claims/one", b"first")
    assert not create_exclusive("memory://claims/one", b"second")
    assert read_bytes("memory://claims/one") == b"first"


def test_a_tree_is_removed_and_its_neighbours_are_not(tmp_path: Path, bucket: str):
    for root in (str(tmp_path), "memory://trees", bucket):
        for name in ("tree/a", "tree/b/c", "tree2/a", "treetop"):
            write_bytes(join(root, name), b"x")
        remove_tree(join(root, "tree"))
        remove_tree(join(root, "tree"))
        assert sorted(open_store(root).walk()) == [(b"tree2/a", 1), (b"treetop", 1)]


def test_bytes_beyond_the_end_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that was cut stays so: a tar of 10,000 lost images would else take hours."""
    monkeypatch.setattr(retry, "wait", lambda pause: pytest.fail("waited"))
    (tmp_path / "x").write_bytes(bytes(10))
    store = open_store(str(tmp_path))
    assert store.read_range("x", 4, 6) == bytes(6)
    with pytest.raises(OSError, match="shorter than expected"):
        store.read_range("x", 4, 7)
