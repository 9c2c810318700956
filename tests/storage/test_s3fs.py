"""What plain s3fs does differently from what an exact listing and an honest run need; ours stands beside it."""

import pickle

import pytest
import s3fs

from ue_ray.storage.filesystem import open_store


@pytest.fixture
def plain(store: str, bucket: str) -> s3fs.S3FileSystem:
    """s3fs as its documentation has it, on the same store."""
    return s3fs.S3FileSystem(
        key="uekey", secret="uesecret", endpoint_url=f"http://{store}", client_kwargs={"region_name": "us-east-1"}
    )


def path_of(bucket: str) -> str:
    return open_store(bucket).root


def test_plain_s3fs_takes_a_part_of_a_key_for_a_version(plain: s3fs.S3FileSystem, bucket: str):
    store = open_store(bucket)
    store.write("photo.png?versionId=7", b"this one")
    assert store.read("photo.png?versionId=7") == b"this one"
    with pytest.raises((FileNotFoundError, OSError, ValueError)):
        plain.cat_file(f"{path_of(bucket)}/photo.png?versionId=7")


def test_plain_s3fs_cuts_the_slash_off_the_end_of_a_key(plain: s3fs.S3FileSystem, bucket: str):
    store = open_store(bucket)
    store.write("empty/", b"")
    store.write("empty/1.png", b"1")
    assert sorted(store.walk()) == [(b"empty/", 0), (b"empty/1.png", 1)]
    assert store.read("empty/") == b""
    assert not plain.info(f"{path_of(bucket)}/empty/")["name"].endswith("/")


def test_plain_s3fs_keeps_a_listing_that_is_no_longer_true(plain: s3fs.S3FileSystem, bucket: str):
    store = open_store(bucket)
    store.write("in/1.png", b"1")
    assert len(plain.ls(f"{path_of(bucket)}/in")) == len(store.names("in")) == 1
    store.write("in/2.png", b"2")
    assert len(plain.ls(f"{path_of(bucket)}/in")) == 1, "from its cache"
    assert store.names("in") == ["1.png", "2.png"]


def test_a_pickle_of_plain_s3fs_holds_the_secret(plain: s3fs.S3FileSystem, bucket: str):
    assert b"uesecret" in pickle.dumps(plain)
    assert b"uesecret" not in pickle.dumps(open_store(bucket).filesystem)
