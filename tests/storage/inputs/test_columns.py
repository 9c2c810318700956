"""Which columns of a Parquet file hold the images and the labels."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ue_ray.errors import ReadFailure, UserError
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.parquet import ONLY_A_PATH

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
    assert open_source(str(tmp_path), label_column="split").list().class_names == ["a"]
    assert "found image (binary), split (string), label (string)" in refused(tmp_path, label_column="kind")


def test_the_files_own_column_comes_before_a_partitions(tmp_path: Path):
    write(tmp_path / "label=7/part-0.parquet", image=BYTES, label=NUMBERS)
    assert open_source(str(tmp_path)).list().labels().tolist() == [0, 1]


def test_hidden_and_underscored_files_count_in_neither_walk(tmp_path: Path):
    write(tmp_path / "a.parquet", image=BYTES, label=NUMBERS)
    names = [
        *("_temporary/0/x.parquet", ".cache/x.parquet", "_x.parquet", "sub/.y.parquet", "sub/_old/z.parquet"),
        *(".ipynb_checkpoints/a-checkpoint.parquet", ".Trash-1000/files/a.parquet", "._a.parquet"),
        *("_delta_log/0.checkpoint.parquet", "sub/Thumbs.db", "@eaDir/a.parquet", "__MACOSX/._a.parquet"),
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half written")
    assert open_source(str(tmp_path)).list().table["file"].to_pylist() == ["a.parquet"] * 2
    (tmp_path / "sub/empty").write_bytes(b"")  # a bucket's console marks folders so
    assert len(open_source(str(tmp_path)).list()) == 2
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


@pytest.mark.parametrize("column", ["image", "label"])
def test_a_column_that_is_there_twice_is_one_clear_line(column: str, tmp_path: Path):
    names, arrays = ["image", "label", column], [BYTES, NUMBERS, BYTES if column == "image" else NUMBERS]
    pq.write_table(pa.Table.from_arrays(arrays, names), tmp_path / "x.parquet")
    assert f"2 columns are called {column}; rename or drop all but one" in refused(tmp_path)
    other = pa.Table.from_arrays([BYTES, NUMBERS, NUMBERS, NUMBERS], ["image", "label", "other", "other"])
    pq.write_table(other, tmp_path / "x.parquet")
    assert images(open_source(str(tmp_path))) == [b"x", b"y"]


def test_files_of_no_rows_are_not_judged_by_their_types(tmp_path: Path):
    write(tmp_path / "a.parquet", image=BYTES, label=NUMBERS)
    write(tmp_path / "b.parquet", image=pa.array([], pa.string()), label=pa.array([], pa.date32()))
    write(tmp_path / "c.parquet", {"label": {"names": ["x"], "_type": "ClassLabel"}}, label=pa.array([], pa.int8()))
    assert open_source(str(tmp_path)).list().table["file"].to_pylist() == ["a.parquet"] * 2
    (tmp_path / "a.parquet").unlink()
    assert "holds no samples: every file has zero rows" in refused(tmp_path)


@pytest.mark.parametrize("name", ["image", "img"])
def test_a_column_without_a_type_has_no_values(name: str, tmp_path: Path):
    none = pa.nulls(2)
    write(tmp_path / "a.parquet", **{name: BYTES}, label=NUMBERS)
    write(tmp_path / "b.parquet", **{name: none}, label=NUMBERS)
    paths = pa.StructArray.from_arrays([none, pa.array(["1.png", "2.png"])], ["bytes", "path"])
    write(tmp_path / "c.parquet", **{name: paths}, label=NUMBERS)
    read = images(open_source(str(tmp_path)))
    assert read[:2] == [b"x", b"y"]
    assert read[2:] == [ReadFailure("no image bytes in the row")] * 2 + [ONLY_A_PATH] * 2
    assert "row 0 has no label" in refused(write(tmp_path / "d.parquet", image=BYTES, label=none))


def test_whole_floats_and_decimals_are_labels(tmp_path: Path):
    for kind in (pa.float32(), pa.float64(), pa.decimal128(12, 2)):
        path = write(tmp_path / "x.parquet", image=BYTES, label=NUMBERS.cast(pa.int32()).cast(kind))
        listing = open_source(path).list()
        assert listing.labels().tolist() == [0, 1]
        assert listing.table["label"].type == pa.int64()
    for wrong, message in ((0.5, "label 0.5;"), (np.inf, "label inf;"), (None, "no label"), (np.nan, "no label")):
        path = write(tmp_path / "x.parquet", image=BYTES, label=pa.array([1.0, wrong], pa.float64()))
        assert f"row 1 has {message}" in refused(path)


def test_two_classes_of_one_name_are_refused(tmp_path: Path):
    features = {"label": {"names": ["cat", "dog", "cat"], "_type": "ClassLabel"}}
    path = write(tmp_path / "x.parquet", features, image=BYTES, label=NUMBERS)
    assert refused(path) == f"{path}: 2 classes are called 'cat'; give each a name of its own"


def test_hives_folder_for_null_is_no_class(tmp_path: Path):
    for label in ("dog", "cat", "__HIVE_DEFAULT_PARTITION__"):
        write(tmp_path / f"label={label}/part-0.parquet", image=BYTES)
    assert "label=__HIVE_DEFAULT_PARTITION__/part-0.parquet: row 0 has no label" in refused(tmp_path)
