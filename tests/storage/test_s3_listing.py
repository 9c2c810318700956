"""A long listing is taken apart by folders: each key is listed once, whatever order the store has."""

import threading
from itertools import islice

import pytest

from ue_ray.storage.s3 import S3Store

PAGE = 100


class Shelf:
    """Lists ``keys`` in their order, PAGE at a time, as s3fs asks for them; counts the answers."""

    def __init__(self, keys):
        self.keys = [f"in/{key}" for key in keys]
        self.asked = 0
        self.lock = threading.Lock()

    def call_s3(self, method, Bucket, Prefix, Delimiter=None, ContinuationToken="0"):
        assert (method, Bucket) == ("list_objects_v2", "bucket")
        with self.lock:
            self.asked += 1
        found = [key for key in self.keys if key.startswith(Prefix)]
        ends = [key.find(Delimiter, len(Prefix)) if Delimiter else -1 for key in found]
        cut = [key[: end + 1] if end >= 0 else key for key, end in zip(found, ends, strict=True)]
        folders = {entry for entry, end in zip(cut, ends, strict=True) if end >= 0}
        entries, start = list(dict.fromkeys(cut)), int(ContinuationToken)
        some = entries[start : start + PAGE]
        page = {
            "Contents": [{"Key": entry, "Size": len(entry)} for entry in some if entry not in folders],
            "CommonPrefixes": [{"Prefix": entry} for entry in some if entry in folders],
        }
        if start + PAGE < len(entries):
            page |= {"IsTruncated": True, "NextContinuationToken": str(start + PAGE)}
        return page

    def walk(self):
        return S3Store(self, "bucket/in").walk()


def numbered(folder, count):
    return [f"{folder}{number:05}" for number in range(count)]


SHAPES = {
    "nothing": [],
    "one page": numbered("a/", 40),
    "no folder": numbered("", 950),
    "classes": [*numbered("a/", 950), *numbered("b/", 30), *numbered("c/", 420), "top"],
    "below two folders": [*numbered("users/photos/ada/", 350), *numbered("users/photos/bob/", 251)],
    "empty names": [*numbered("/", 210), *numbered("a//", 220), "a/", *numbered("b/c/", 3)],
    "a marker and files": ["", *numbered("a/", 205), *numbered("z", 130)],
    "another order": [*numbered("b.c/", 205), *reversed(numbered("b/", 215)), *numbered("a/", 3)],
    "many folders": [f"{folder:04}/{number}" for folder in range(300) for number in range(3)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_key_is_listed_once(shape):
    keys = SHAPES[shape]
    shelf = Shelf(keys)
    assert sorted(path.decode() for path, _ in shelf.walk()) == sorted(key for key in keys if key)


@pytest.mark.parametrize(
    ("shape", "most"),
    # By folders there is one more for the first page, and one for the folders, at each level.
    [("nothing", 1), ("one page", 1), ("no folder", 10), ("classes", 1 + 1 + 16), ("many folders", 9)],
)
def test_it_takes_hardly_more_requests(shape, most):
    shelf = Shelf(SHAPES[shape])
    list(shelf.walk())
    assert shelf.asked <= most


def test_a_listing_may_be_left():
    shelf = Shelf(SHAPES["classes"])
    assert len(list(islice(shelf.walk(), 5))) == 5
    assert shelf.asked < 40


def test_a_failure_is_raised():
    class Broken(Shelf):
        def call_s3(self, method, **asked):
            if asked["Prefix"] == "in/c/" and "ContinuationToken" in asked:
                raise PermissionError("denied")
            return super().call_s3(method, **asked)

    with pytest.raises(PermissionError, match="denied"):
        list(Broken(SHAPES["classes"]).walk())
