import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.storage.inputs.test_folder import reads
from ue_ray.errors import UserError
from ue_ray.storage.filesystem import join, write_bytes
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.listing import sample_id
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.parquet import ParquetSource

NAMES = ("users/bob/1.png", "users/ada/deep/2.png", "users/ada/1.png", "other/x/1.png", "top.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def labelled(source: FolderSource | ParquetSource) -> dict[str, str | None]:
    listing = source.list()
    names = [*listing.class_names, None]  # -1 is the last
    keys = listing.table["key"].to_pylist()
    return {key: names[label] for key, label in zip(keys, listing.labels(), strict=True) if label >= 0}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("users/{label}/*", {"users/ada/1.png": "ada", "users/bob/1.png": "bob"}),
        ("users/{label}/**", {"users/ada/1.png": "ada", "users/ada/deep/2.png": "ada", "users/bob/1.png": "bob"}),
        ("*/{label}/1.png", {"users/ada/1.png": "ada", "users/bob/1.png": "bob", "other/x/1.png": "x"}),
        ("users/**/{label}.png", {"users/ada/1.png": "1", "users/ada/deep/2.png": "2", "users/bob/1.png": "1"}),
        ("users/{label}a/*", {"users/ada/1.png": "ad"}),
        ("users/{label}", None),
    ],
)
def test_a_pattern_takes_the_label_from_the_key(pattern: str, expected: dict[str, str] | None, photos: Path):
    source = open_source(str(photos), pattern)
    if expected is None:
        with pytest.raises(UserError, match=r"expected labels by users.*of no class"):
            source.list()
        return
    assert labelled(source) == expected
    assert source.list().class_names == sorted(set(expected.values()))
    missed = f"key does not match {pattern}"
    assert reads(source) == {name: name.encode() if name in expected else missed for name in NAMES}


def test_all_but_the_stars_stands_for_itself(tmp_path: Path):
    names = ("a.b/x(1)?/1", "a.b/y(1)?/new\nline", "aab/z(1)?/1", "a.b/x(1)/1")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert labelled(open_source(str(tmp_path), "a.b/{label}(1)?/*")) == {names[0]: "x", names[1]: "y"}


@pytest.mark.parametrize("pattern", ["users/*", "{label}/{label}", "/users/{label}/*", "", "labels.xml", "{class}/*"])
def test_a_bad_rule_is_refused_before_anything_is_listed(pattern: str, photos: Path):
    with pytest.raises(UserError, match="labels") as caught:
        open_source(str(photos), pattern)
    assert "\n" not in str(caught.value)


TABLE = 'key,label,note\nusers/bob/1.png,person,1\ntop.png,thing,2\n"users/ada/1.png",person,\nother/x/1.png,007,\n'


def test_a_csv_table_gives_labels(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "labels.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    source = open_source("photos", "labels.csv")
    monkeypatch.chdir("/")
    assert labelled(source) == {
        "users/bob/1.png": "person",
        "users/ada/1.png": "person",
        "top.png": "thing",
        "other/x/1.png": "007",
    }
    assert source.list().class_names == ["007", "person", "thing"]
    assert reads(source)["users/ada/deep/2.png"] == "no label in labels.csv"


def test_a_parquet_table_of_integers_gives_labels(photos: Path, tmp_path: Path):
    table = pa.table({"label": pa.array([7, 5], pa.int16()), "key": ["top.png", "users/bob/1.png"]})
    pq.write_table(table, tmp_path / "labels.parquet")
    source = open_source(str(photos), str(tmp_path / "labels.parquet"))
    assert labelled(source) == {"top.png": "7", "users/bob/1.png": "5"}


def test_a_text_of_keys_and_labels_gives_labels(photos: Path, tmp_path: Path):
    """As CelebA's identities and ImageNet's ground truth come."""
    (tmp_path / "labels.txt").write_bytes("\ufeffusers/bob/1.png person\r\n\ntop.png\t 007\n".encode())
    source = open_source(str(photos), str(tmp_path / "labels.txt"))
    assert labelled(source) == {"users/bob/1.png": "person", "top.png": "007"}
    for wrong, said in (
        (b"top.png\n", "'top.png' on a line of its own: expected a key, a space and a label"),
        (b"\xff", "utf-8"),
    ):
        (tmp_path / "labels.txt").write_bytes(wrong)
        with pytest.raises(UserError, match=said):
            source.list()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,class\na,b\n", "no column label; found key, class"),
        ("key,label\ntop.png,a\ntop.png,b\n", "key 'top.png' has more than one label"),
        ("key,label,label\ntop.png,a,b\n", "two columns label; found key, label, label"),
        ("key,label\ntop.png,\n", "row 0 has no label"),
        ("key,label\ntop.png,a\n,b\n", "row 1 has no key"),
        ("key,label\ntop.png,a\nx/1,b\nx/2,b\n", "key 'x/1' and 1 more are not in the input"),
        ("key,label\ntop.png\n", "cannot read the labels"),
        ("", "cannot read the labels"),
        (None, "cannot read the labels"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(text: str | None, message: str, photos: Path, tmp_path: Path):
    if text is not None:
        (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=r"labels\.csv: ") as caught:
        open_source(str(photos), str(tmp_path / "labels.csv")).list()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        " key , label \nusers/bob/1.png, person\ntop.png, 007\n",
        '"key","label"\nusers/bob/1.png,person\nusers/bob/1.png,person\ntop.png,007\ntop.png,007\n',
        "\ufefflabel,key\r\nperson,users/bob/1.png\r\n007,top.png\r\n",
        "key,label,taken\nusers/bob/1.png,person,2020-01-01\ntop.png,007,\n",
    ],
)
def test_spaces_in_a_csv_and_rows_that_are_there_twice_do_no_harm(text: str, photos: Path, tmp_path: Path):
    (tmp_path / "labels.CSV").write_text(text)
    source = open_source(str(photos), str(tmp_path / "labels.CSV"))
    assert labelled(source) == {"users/bob/1.png": "person", "top.png": "007"}


@pytest.mark.parametrize("ending", ["pq", "PARQUET"])
def test_a_table_of_whole_floats_gives_labels(ending: str, photos: Path, tmp_path: Path):
    path = tmp_path / f"labels.{ending}"
    pq.write_table(pa.table({"label": [7.0, 5.0], "key": ["top.png", "users/bob/1.png"]}), path)
    assert labelled(open_source(str(photos), str(path))) == {"top.png": "7", "users/bob/1.png": "5"}


def test_labels_in_a_bucket(bucket: str):
    for name in NAMES:
        write_bytes(join(bucket, "in", name), b"x")
    write_bytes(join(bucket, "labels.csv"), TABLE.encode())
    by_table = open_source(join(bucket, "in"), join(bucket, "labels.csv"))
    assert by_table.list().class_names == ["007", "person", "thing"]
    assert reads(by_table)["users/ada/deep/2.png"] == "no label in labels.csv"
    assert labelled(open_source(join(bucket, "in"), "users/{label}/*")) == {
        "users/ada/1.png": "ada",
        "users/bob/1.png": "bob",
    }


def test_a_column_of_text_names_the_classes_of_parquet(tmp_path: Path):
    for name, breeds in (("a", ["pug", "tabby"]), ("b", ["beagle", "pug"])):
        table = pa.table({"image": [b"x", b"y"], "label": [0, 1], "breed": breeds})
        pq.write_table(table.set_column(2, "breed", table["breed"].dictionary_encode()), tmp_path / f"{name}.parquet")
    source = open_source(str(tmp_path), "breed")
    listing = source.list()
    assert listing.class_names == ["beagle", "pug", "tabby"]
    assert listing.labels().tolist() == [1, 2, 0, 1]
    assert open_source(str(tmp_path)).list().labels().tolist() == [0, 1, 0, 1]
    with pytest.raises(UserError, match=r"no column colour; found image \(binary\), label \(int64\), breed"):
        open_source(str(tmp_path), "colour").list()
    pq.write_table(pa.table({"image": [b"x"], "breed": [3]}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match="column breed is text in some files and integers in others"):
        source.list()


def test_a_data_set_known_by_name_has_its_own_labels():
    with pytest.raises(UserError, match="labels of its own"):
        open_source("mnist5k", "{label}/*")


def test_names_that_look_alike_as_text_are_two_samples(tmp_path: Path):
    names = [os.fsencode(tmp_path) + b"/a/caf" + end for end in (b"\xe9", b"\\xe9")]
    for folder in "ab":
        (tmp_path / folder).mkdir()
    (tmp_path / "b/1").touch()
    for name in names:
        with open(name, "wb") as file:
            file.write(name[-2:])
    table = open_source(str(tmp_path)).list().table
    assert table["key"].to_pylist() == ["a/caf\\xe9", "a/caf\\xe9", "b/1"]
    assert table["sample_id"].to_pylist() == [sample_id(b"a/caf\\xe9"), sample_id(b"a/caf\xe9"), sample_id("b/1")]
