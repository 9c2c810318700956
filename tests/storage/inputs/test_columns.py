"""Which columns of a Parquet file hold the images and the labels."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ue_ray.errors import UserError
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.open_source import open_source

STRUCT = pa.array([{"bytes": b"x", "path": ""}, {"bytes": b"y", "path": ""}])
BYTES = pa.array([b"x", b"y"])
NUMBERS = pa.array([0, 1])
CATS = {"names": ["cat", "dog"], "_type": "ClassLabel"}
IMAGE = {"_type": "Image"}


def write(path: Path, features: dict | None = None, **columns: pa.Array) -> str:
    table = pa.table(columns)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return str(path)


def images(source: Source) -> list[object]:
    return list(source.read(source.list().table))


@pytest.mark.parametrize("column", [STRUCT, BYTES])
def test_the_only_column_like_an_image_is_it(column: pa.Array, tmp_path: Path):
    source = open_source(write(tmp_path / "x.parquet", img=column, text=pa.array(["a", "b"]), label=NUMBERS))
    assert images(source) == [b"x", b"y"]
    assert source.list().nbytes().min() > 0


def test_cifar10_and_its_like_are_read_as_the_hub_has_them(tmp_path: Path):
    features = {"img": IMAGE, "thumbnail": {"dtype": "binary"}, "kind": CATS}
    path = write(tmp_path / "x.parquet", features, thumbnail=BYTES, img=STRUCT, kind=NUMBERS, row=NUMBERS)
    source = open_source(path)
    assert images(source) == [b"x", b"y"]
    assert source.list().class_names == ["cat", "dog"]


def test_a_column_called_labels_will_do(tmp_path: Path):
    path = write(tmp_path / "x.parquet", {"labels": CATS, "image": IMAGE}, image=STRUCT, labels=NUMBERS)
    assert open_source(path).list().class_names == ["cat", "dog"]
    assert open_source(write(tmp_path / "y.parquet", image=BYTES, labels=NUMBERS)).list().labels().tolist() == [0, 1]


def test_image_and_label_are_taken_before_all_others(tmp_path: Path):
    path = write(tmp_path / "x.parquet", {"a": IMAGE, "b": CATS}, a=STRUCT, b=NUMBERS, image=BYTES, label=NUMBERS)
    assert open_source(path).list().class_names == ["0", "1"]


def test_columns_are_chosen_by_name(tmp_path: Path):
    features = {"fine_label": {"names": ["pug", "tabby"], "_type": "ClassLabel"}, "coarse_label": CATS}
    other = pa.array([b"small x", b"small y"])
    columns = {"image": STRUCT, "small": other, "fine_label": NUMBERS, "coarse_label": NUMBERS}
    path = write(tmp_path / "x.parquet", features, **columns)
    fine = open_source(path, image_column="small", label_column="fine_label")
    assert fine.list().class_names == ["pug", "tabby"]
    assert images(fine) == [b"small x", b"small y"]
    assert open_source(path, "coarse_label").list() == open_source(path, label_column="coarse_label").list()


def refused(uri: object, *args: str, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(uri), *args, **options).list()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_decided_lists_the_columns_and_the_option(tmp_path: Path):
    path = write(tmp_path / "x.parquet", before=BYTES, after=STRUCT, label=NUMBERS)
    assert refused(path) == (
        f"{path}: no column image; found before (binary), after (struct<bytes: binary, path: string>), label (int64): "
        "--image-column chooses"
    )
    features = {"fine": CATS, "coarse": CATS}
    path = write(tmp_path / "x.parquet", features, image=STRUCT, fine=NUMBERS, coarse=NUMBERS)
    assert refused(path) == (
        f"{path}: no column label; found image (struct<bytes: binary, path: string>), fine (ClassLabel), "
        "coarse (ClassLabel): --label-column chooses"
    )
    assert "no column photo; found image (" in refused(path, image_column="photo")
    assert "no column kind; found image (" in refused(path, label_column="kind")
    assert "column fine holds int64; expected struct<" in refused(path, image_column="fine")


def test_a_label_column_is_said_once(tmp_path: Path):
    path = write(tmp_path / "x.parquet", image=BYTES, label=NUMBERS)
    assert "--labels 'label' and --label-column 'label' say the same" in refused(path, "label", label_column="label")


@pytest.mark.parametrize("option", ["image_column", "label_column"])
def test_a_folder_of_class_folders_has_no_columns(option: str, tmp_path: Path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    flag = "--" + option.replace("_", "-")
    assert f"is not Parquet; {flag} 'x' cannot be used with it" in refused(tmp_path, **{option: "x"})
    assert f"{flag} 'x' cannot be used with it" in refused("mnist5k", **{option: "x"})


def test_a_hive_partition_gives_its_column(tmp_path: Path):
    for label in ("dog", "black%20cat"):
        write(tmp_path / f"split=a/label={label}/part-0.parquet", image=BYTES)
    listing = open_source(str(tmp_path)).list()
    assert listing.class_names == ["black cat", "dog"]
    assert listing.labels().tolist() == [0, 0, 1, 1]
    assert listing.table["key"][0].as_py() == "split=a/label=black%20cat/part-0.parquet#0"
    assert "only class 'a'" in refused(tmp_path, label_column="split")
    assert "found image (binary), split (string), label (string)" in refused(tmp_path, label_column="kind")


def test_the_files_own_column_comes_before_a_partitions(tmp_path: Path):
    write(tmp_path / "label=7/part-0.parquet", image=BYTES, label=NUMBERS)
    assert open_source(str(tmp_path)).list().labels().tolist() == [0, 1]


def test_hidden_and_underscored_files_count_in_neither_walk(tmp_path: Path):
    write(tmp_path / "a.parquet", image=BYTES, label=NUMBERS)
    names = ("_temporary/0/x.parquet", ".cache/x.parquet", "_x.parquet", "sub/.y.parquet", "sub/_old/z.parquet")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half written")
    assert open_source(str(tmp_path)).list().table["file"].to_pylist() == ["a.parquet"] * 2
    (tmp_path / "a.parquet").unlink()
    assert isinstance(open_source(str(tmp_path)), FolderSource)


def test_a_file_given_by_name_counts(tmp_path: Path):
    path = write(tmp_path / ".hidden" / "_x.parquet", image=BYTES, label=NUMBERS)
    assert len(open_source(path).list()) == 2


@pytest.mark.parametrize("name", ["x.pq", "x.PARQUET", "x.Pq"])
def test_other_spellings_of_parquet(name: str, tmp_path: Path):
    path = write(tmp_path / name, image=BYTES, label=NUMBERS)
    for uri in (path, str(tmp_path)):
        assert open_source(uri).list().table["key"].to_pylist() == [f"{name}#0", f"{name}#1"]
