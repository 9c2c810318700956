"""``hf://``: paths as Hugging Face's filesystem presents them, over files on this machine."""

import io
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.registry import _registry
from PIL import Image

from tests.storage.inputs.test_columns import CATS, IMAGE, NUMBERS, STRUCT, write
from ue_ray.errors import UserError
from ue_ray.storage.filesystem import absolute, join, read_bytes
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.parquet import ParquetSource

OWNER = "hf://datasets/owner"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """The folder that stands for the Hub; below it are the paths of ``hf://``."""

    class FakeHub(DirFileSystem):
        protocol = "hf"

        def __init__(self, **_: object) -> None:
            super().__init__(path=str(tmp_path), fs=fsspec.filesystem("file"))

        def info(self, path: str, **options: object) -> dict:
            if path.startswith("datasets/offline"):
                raise RuntimeError("no route\nto the Hub")  # the real one's errors need not be OSErrors
            return super().info(path, **options)

    fsspec.register_implementation("hf", FakeHub, clobber=True)
    yield tmp_path
    del _registry["hf"]
    FakeHub.clear_instance_cache()


@pytest.mark.parametrize("revision", ["", "@main", "@refs/convert/parquet"])
def test_parquet_of_the_hub(revision: str, hub: Path):
    names = ["data/test-00000-of-00001.parquet", *(f"data/train-0000{n}-of-00002.parquet" for n in (0, 1))]
    root = hub / f"datasets/owner/name{revision}"
    for name in names:
        write(root / name, {"img": IMAGE, "label": CATS}, img=STRUCT, label=NUMBERS)
    (root / "README.md").touch()
    (root / ".gitattributes").touch()
    uri = f"{OWNER}/name{revision}"
    source = open_source(uri)
    assert source == ParquetSource(uri, split="train", splits=("train", "test"))
    listing = pickle.loads(pickle.dumps(source)).list()
    assert listing.class_names == ["cat", "dog"]
    assert listing.table["key"].to_pylist() == [f"{name}#{row}" for name in names[1:] for row in (0, 1)]
    assert list(source.read(listing.table.take([3, 0]))) == [b"y", b"x"]
    assert listing.fingerprint() == open_source(str(root)).list().fingerprint()
    assert len(open_source(uri, split="test").list()) == 2
    assert len(open_source(f"{uri}/data/").list()) == 4
    one = open_source(join(uri, names[0]))
    assert one.list().table["key"][0].as_py() == "test-00000-of-00001.parquet#0"
    assert list(one.read(one.list().table)) == [b"x", b"y"]
    assert absolute(uri) == uri
    assert read_bytes(join(uri, "README.md")) == b""


def test_class_folders_of_the_hub(hub: Path):
    picture = io.BytesIO()
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(picture, "png")
    for name in ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png"):
        path = hub / "datasets/owner/name" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.getvalue())
    source = open_source(f"{OWNER}/name", split="test")
    assert source == FolderSource(f"{OWNER}/name/test", split="test", splits=("train", "test"))
    assert source.list().table["key"].to_pylist() == ["cat/3.png", "dog/4.png"]
    assert list(source.read(source.list().table)) == [picture.getvalue()] * 2


def test_what_is_not_on_the_hub_is_one_line(hub: Path):
    with pytest.raises(UserError) as caught:
        open_source(f"{OWNER}/lost")
    assert str(caught.value) == (
        f"{OWNER}/lost: does not exist (expected hf://datasets/OWNER/NAME[@revision]; a private one needs HF_TOKEN)"
    )
    with pytest.raises(UserError) as caught:
        open_source("hf://datasets/offline/name")
    assert str(caught.value) == "hf://datasets/offline/name: cannot be read: no route to the Hub"


def test_without_huggingface_hub_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delitem(_registry, "hf", raising=False)
    with pytest.raises(UserError) as caught:
        open_source(f"{OWNER}/name")
    assert str(caught.value) == f"{OWNER}/name: hf:// needs huggingface_hub: pip install huggingface_hub"
