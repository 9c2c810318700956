from pathlib import Path

import pytest

from tests.storage.inputs.test_folder import reads
from tests.storage.inputs.test_open_source import place
from ue_ray.errors import UserError
from ue_ray.storage.filesystem import join, write_bytes
from ue_ray.storage.inputs.builtin import BuiltinSource
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.parquet import ParquetSource

EITHER = ("train", "test")


def files_read(root: Path, split: str | None = None) -> list[str]:
    return list(dict.fromkeys(open_source(str(root), split=split).list().table["file"].to_pylist()))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.parquet", "test.parquet"),
        ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
        ("data/train-00000-of-00001-0123456789abcdef.parquet", "data/test-00000-of-00001-0123456789abcdef.parquet"),
        ("plain_text/train-0.parquet", "plain_text/test-0.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("train/part-00000-of-00009.pq", "test/part-00000-of-00009.PQ"),
        ("train_images.parquet", "test_images.parquet"),
    ],
)
def test_the_hubs_names_of_parquet_files_are_splits(train: str, test: str, tmp_path: Path):
    source = open_source(str(place(tmp_path, train, test, "README.md")))
    assert (source.split, source.splits) == ("train", EITHER)
    assert files_read(tmp_path) == files_read(tmp_path, "train") == [train]
    assert files_read(tmp_path, "test") == [test]
    assert open_source(str(tmp_path), split="test").list().table["key"].to_pylist() == [f"{test}#0", f"{test}#1"]


def test_all_files_of_a_split_are_read_and_any_name_can_be_asked_for(tmp_path: Path):
    names = [f"{split}-0000{n}-of-00002.parquet" for split in ("test", "train", "unsupervised") for n in (0, 1)]
    place(tmp_path, *names)
    assert open_source(str(tmp_path)).splits == ("train", "test", "unsupervised")
    assert files_read(tmp_path) == names[2:4]
    assert files_read(tmp_path, "unsupervised") == names[4:]
    place(tmp_path / "converted", "default/train/0000.parquet", "default/unsupervised/0000.parquet")
    assert files_read(tmp_path / "converted", "unsupervised") == ["default/unsupervised/0000.parquet"]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["a.parquet", "sub/b.parquet"], ()),
        (["protest/x.parquet", "testing.parquet", "trains.parquet"], ()),
        (["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"], ("train",)),
        (["more.parquet", "train.parquet"], ("train",)),
        (["2020/0000.parquet", "2021/0000.parquet"], ("2020", "2021")),
        (["cats-00000-of-00001.parquet", "dogs-00000-of-00001.parquet"], ("cats", "dogs")),
    ],
)
def test_what_does_not_look_like_several_splits_is_read_whole(
    names: list[str], splits: tuple[str, ...], tmp_path: Path
):
    source = open_source(str(place(tmp_path, *names)))
    assert (source.split, source.splits) == (None, splits)
    assert files_read(tmp_path) == names


def test_hidden_files_are_no_splits(tmp_path: Path):
    place(tmp_path, "train.parquet", "_old/test.parquet", ".cache/validation.parquet")
    assert open_source(str(tmp_path)).splits == ("train",)


def test_a_split_that_is_not_there_lists_the_choices(tmp_path: Path):
    place(tmp_path / "parquet", "train.parquet", "test.parquet")
    place(tmp_path / "folder", "train/a/1", "train/b/2", "test/a/3", "test/b/4")
    place(tmp_path / "plain", "a/1.png", "b/2.png")
    place(tmp_path / "unnamed", "x.parquet")
    for name in ("parquet", "folder"):
        with pytest.raises(UserError) as caught:
            open_source(str(tmp_path / name), split="validation")
        assert str(caught.value) == f"{tmp_path / name}: no split 'validation'; choose train or test"
    for name in ("plain", "unnamed"):
        with pytest.raises(UserError, match=r"no split 'train'; expected files such as .* found none") as caught:
            open_source(str(tmp_path / name), split="train")
        assert "\n" not in str(caught.value)


def test_without_train_the_split_has_to_be_chosen(tmp_path: Path):
    place(tmp_path, "test.parquet", "validation.parquet")
    with pytest.raises(UserError, match="holds the splits validation, test: --split chooses"):
        open_source(str(tmp_path))
    assert files_read(tmp_path, "validation") == ["validation.parquet"]


def test_folders_of_the_same_classes_are_splits_and_equal_their_own_folder(tmp_path: Path):
    names = ("train/cat/1", "train/dog/2", "test/cat/3", "test/dog/4", "val/cat/5", "val/dog/6")
    place(tmp_path, *names, "README.md", ".cache/x/1", "train/.DS_Store", "test/notes.txt")
    source = open_source(str(tmp_path))
    assert isinstance(source, FolderSource)
    assert (source.split, source.splits) == ("train", ("train", "val", "test"))
    for split in ("train", "test", "val"):
        chosen, own = open_source(str(tmp_path), split=split), open_source(str(tmp_path / split))
        assert chosen.split == split
        assert chosen.list().table == own.list().table
        assert chosen.list().fingerprint() == own.list().fingerprint()
        assert chosen.list().class_names == ["cat", "dog"]
    assert open_source(str(tmp_path)).list().table == source.list().table


def test_a_lone_folder_of_class_folders_is_a_split(tmp_path: Path):
    source = open_source(str(place(tmp_path, "train/cat/1", "train/dog/2")))
    assert (source.split, source.splits) == ("train", ("train",))
    assert list(reads(source)) == ["cat/1", "dog/2"]


@pytest.mark.parametrize(
    "names",
    [
        ["test/1.png", "train/2.png"],
        ["test/1.png", "train/a/2.png"],
        ["bus/a/1.png", "train/a/2.png"],
        ["test/.cache/1.png", "test/2.png", "train/.cache/3.png", "train/4.png"],
    ],
)
def test_class_folders_called_train_and_test_are_classes(names: list[str], tmp_path: Path):
    source = open_source(str(place(tmp_path, *names)))
    assert (source.split, source.splits) == (None, ())
    assert source.list().class_names == sorted({name.partition("/")[0] for name in names})


def test_splits_of_different_classes_are_refused_and_said_which(tmp_path: Path):
    place(tmp_path, "train/cat/1", "train/dog/2", "test/fox/3")
    with pytest.raises(UserError) as caught:
        open_source(str(tmp_path))
    assert str(caught.value).startswith(
        f"{tmp_path}: train and test look like splits, but train has the classes cat, dog and test has fox: "
    )
    assert open_source(str(tmp_path), "{label}/**").list().class_names == ["test", "train"]
    assert open_source(str(tmp_path / "train")).list().class_names == ["cat", "dog"]


def test_a_split_may_lack_classes_of_the_first(tmp_path: Path):
    place(tmp_path, "train/cat/1", "train/dog/2", "test/cat/3", "train/__MACOSX/1", "__MACOSX/train/cat/._1")
    source = open_source(str(tmp_path))
    assert (source.split, source.splits) == ("train", EITHER)
    assert source.list().class_names == ["cat", "dog"]


def test_a_rule_for_labels_reads_the_folder_whole(tmp_path: Path):
    place(tmp_path, "train/a/1", "train/b/2", "test/a/3", "test/b/4")
    source = open_source(str(tmp_path), "*/{label}/*")
    assert (source.split, source.splits) == (None, ())
    assert list(reads(source)) == ["test/a/3", "test/b/4", "train/a/1", "train/b/2"]
    with pytest.raises(UserError, match=f"--split 'test' .*--labels: give {tmp_path}/test as the input"):
        open_source(str(tmp_path), "{label}/*", split="test")


@pytest.mark.parametrize("place", ["memory://in-splits", "{bucket}"])
def test_splits_elsewhere_than_on_disk(place: str, request: pytest.FixtureRequest):
    place = request.getfixturevalue("bucket") if "bucket" in place else place
    for name in ("train/a/1", "train/b/2", "test/a/3", "test/b/4"):
        write_bytes(join(place, name), name.encode())
    assert reads(open_source(place)) == {"a/1": b"train/a/1", "b/2": b"train/b/2"}
    assert reads(open_source(place, split="test")) == {"a/3": b"test/a/3", "b/4": b"test/b/4"}


def test_data_sets_known_by_name_have_two():
    assert open_source("cifar10", split="train") == open_source("cifar10") == BuiltinSource("cifar10")
    assert open_source("mnist5k", split="test") == open_source("mnist5k-test") == BuiltinSource("mnist5k-test")
    with pytest.raises(UserError, match="mnist5k: no split 'validation'; choose train or test"):
        open_source("mnist5k", split="validation")
    with pytest.raises(UserError, match="mnist5k-test: no split 'train'; choose test"):
        open_source("mnist5k-test", split="train")


def test_one_file_has_no_splits(tmp_path: Path):
    place(tmp_path, "train.parquet", "test.parquet")
    one = str(tmp_path / "train.parquet")
    assert open_source(one) == ParquetSource(one)
    with pytest.raises(UserError, match=r"train.parquet: is one file; --split 'test' cannot be used with it"):
        open_source(one, split="test")
