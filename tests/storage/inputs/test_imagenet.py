"""ImageNet in the forms in which it is downloaded, made small: the same images under the same ids in each."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ue_ray.errors import ReadFailure, UserError
from ue_ray.images.codec import encode
from ue_ray.storage.filesystem import join, write_bytes
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.imagenet import ImageNetFolder
from ue_ray.storage.inputs.imagenet_tars import ImageNetTars
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.open_source import glance, open_source

WORDS = {"n01440764": "tench, Tinca tinca", "n02012849": "crane", "n03126707": "crane"}
SYNSETS = list(WORDS)
NAMES = ["tench", "n02012849 crane", "n03126707 crane"]
KEYS = [f"{synset}/{synset}_{number}.JPEG" for synset in SYNSETS for number in (10026, 9)]
VALIDATION = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 6)]
TRUTH = [2, 0, 1, 1, 0]  # of each, an index into SYNSETS
MAPPING = "".join(f"{synset} {words}\n" for synset, words in WORDS.items())
SOLUTION = "ImageId,PredictionString\n" + "".join(
    f"{Path(name).stem},{SYNSETS[label]} 1 2 30 40 {SYNSETS[label]} 5 6 70 80 \n"
    for name, label in reversed([*zip(VALIDATION, TRUTH, strict=True)])
)
KIT_IDS = {"n02012849": 1, "n01440764": 2, "n03126707": 3}  # in an order of its own, as the kit has


def image_of(key: str) -> bytes:
    return encode(np.random.default_rng([*key.encode()]).integers(0, 256, (6, 7, 3), dtype=np.uint8))


def put(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def tar_of(files: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def class_tars() -> dict[str, bytes]:
    return {
        f"{synset}.tar": tar_of({key.split("/")[1]: image_of(key) for key in KEYS if key.startswith(synset)})
        for synset in SYNSETS
    }


def validation_images() -> dict[str, bytes]:
    return {name: image_of(name) for name in VALIDATION}


def meta_mat() -> bytes:
    savemat = pytest.importorskip("scipy.io").savemat
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    rows = [(number, synset, WORDS[synset], "a gloss", 0) for synset, number in KIT_IDS.items()]
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": np.array([*rows, (4, "n00001740", "entity", "all", 3)], kinds).reshape(-1, 1)})
    return buffer.getvalue()


def truth() -> str:
    return "".join(f"{KIT_IDS[SYNSETS[label]]}\n" for label in TRUTH)


def kit() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        files = {"readme.txt": b"", "data/meta.mat": meta_mat(), f"data/{TRUTH_FILE}": truth().encode()}
        for name, data in files.items():
            member = tarfile.TarInfo(f"ILSVRC2012_devkit_t12/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


TRUTH_FILE = "ILSVRC2012_validation_ground_truth.txt"


def kaggle(root: Path) -> Path:
    data = "ILSVRC/Data/CLS-LOC"
    put(root, {f"{data}/train/{key}": image_of(key) for key in KEYS})
    put(root, {f"{data}/val/{name}": image for name, image in validation_images().items()})
    put(root, {f"{data}/test/ILSVRC2012_test_00000001.JPEG": b"x", "ILSVRC/ImageSets/CLS-LOC/val.txt": ""})
    return put(root, {"LOC_synset_mapping.txt": MAPPING, "LOC_val_solution.csv": SOLUTION})


def read(source: Source) -> dict[str, tuple[str, str, bytes | str]]:
    """Key -> sample_id, class, and the image or why there is none."""
    listing = source.list()
    names = [*listing.class_names, "(none)"]
    return {
        row["key"]: (row["sample_id"], names[row["label"]], image.reason if isinstance(image, ReadFailure) else image)
        for row, image in zip(listing.table.to_pylist(), source.read(listing.table), strict=True)
    }


def refused(uri: Path | str, labels: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(uri), labels).list()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def expected_validation(names: list[str]) -> dict[str, tuple[str, bytes]]:
    return {name: (names[label], image_of(name)) for name, label in zip(VALIDATION, TRUTH, strict=True)}


def without_ids(found: dict[str, tuple[str, str, bytes | str]]) -> dict[str, tuple[str, bytes | str]]:
    return {key: (name, image) for key, (_, name, image) in found.items()}


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_the_tar_of_class_tars_is_what_it_would_be_unpacked(tmp_path: Path, format: int):
    put(tmp_path / "tars", {"ILSVRC2012_img_train.tar": tar_of(class_tars(), format)})
    put(tmp_path / "unpacked", {key: image_of(key) for key in KEYS})
    source = open_source(str(tmp_path / "tars" / "ILSVRC2012_img_train.tar"))
    assert type(source) is ImageNetTars
    glance(source)
    assert list(read(source)) == KEYS  # in the order of the tar
    unpacked = open_source(str(tmp_path / "unpacked"))
    assert type(unpacked) is FolderSource
    assert read(source) == read(unpacked)
    assert source.list().class_names == SYNSETS
    assert source.list().note == ""
    rows = source.list().table
    assert list(source.read(rows.take([4, 0, 0]))) == [image_of(KEYS[row]) for row in (4, 0, 0)]


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs the program tar")
@pytest.mark.parametrize("format", ["gnu", "pax", "ustar"])
def test_tars_of_the_program_tar(tmp_path: Path, format: str):
    folders = put(tmp_path / "train", {key: image_of(key) for key in KEYS})
    tar = ["tar", f"--format={format}", "-cf"]
    for synset in SYNSETS:
        subprocess.run([*tar, f"{synset}.tar", "-C", synset, "."], cwd=folders, check=True)
    subprocess.run([*tar, "../all.tar", *(f"{synset}.tar" for synset in SYNSETS)], cwd=folders, check=True)
    found = read(open_source(str(tmp_path / "all.tar")))
    assert {key: image for key, (_, _, image) in found.items()} == {key: image_of(key) for key in KEYS}


def test_a_folder_of_class_tars(tmp_path: Path):
    put(tmp_path, class_tars())
    source = open_source(str(tmp_path))
    assert type(source) is ImageNetTars
    assert without_ids(read(source)) == {key: (key.split("/")[0], image_of(key)) for key in KEYS}


def test_readable_names_keep_the_order_of_the_synsets(tmp_path: Path):
    put(tmp_path, {"ILSVRC2012_img_train.tar": tar_of(class_tars()), "LOC_synset_mapping.txt": MAPPING})
    listing = open_source(str(tmp_path)).list()
    assert listing.class_names == NAMES
    assert listing.note == f"classes are called as {tmp_path}/LOC_synset_mapping.txt says"
    put(tmp_path, {"LOC_synset_mapping.txt": MAPPING.partition("\n")[0]})
    assert open_source(str(tmp_path)).list().class_names == [NAMES[0], *SYNSETS[1:]]
    put(tmp_path, {"LOC_synset_mapping.txt": "tench\n"})
    assert "LOC_synset_mapping.txt: line 1 is 'tench'; expected a synset and its names" in refused(tmp_path)


@pytest.mark.parametrize("form", ["solution", "numbers", "synsets", "kit", "truth"])
@pytest.mark.parametrize("packed", [True, False])
def test_validation_images_by_each_file_of_labels(tmp_path: Path, form: str, packed: bool):
    files: dict[str, bytes | str] = {
        "solution": lambda: {"LOC_val_solution.csv": SOLUTION},
        "numbers": lambda: {
            "val.txt": "".join(f"{name} {label}\n" for name, label in zip(VALIDATION, TRUTH, strict=True)),
            "LOC_synset_mapping.txt": MAPPING,
        },
        "synsets": lambda: {
            "val.txt": "".join(f"{name} {SYNSETS[label]}\n" for name, label in zip(VALIDATION, TRUTH, strict=True))
        },
        "kit": lambda: {"ILSVRC2012_devkit_t12.tar.gz": kit()},
        "truth": lambda: {
            f"ILSVRC2012_devkit_t12/data/{TRUTH_FILE}": truth(),
            "ILSVRC2012_devkit_t12/data/meta.mat": meta_mat(),
        },
    }[form]()
    put(tmp_path, files)
    place = tmp_path / "ILSVRC2012_img_val.tar" if packed else tmp_path / "val"
    if packed:
        put(tmp_path, {"ILSVRC2012_img_val.tar": tar_of(validation_images())})
    else:
        put(place, validation_images())
    source = open_source(str(place))
    assert type(source) is (ImageNetTars if packed else ImageNetFolder)
    glance(source)
    names = NAMES if form == "numbers" else SYNSETS
    assert without_ids(read(source)) == expected_validation(names)
    assert source.list().class_names == names  # numbered by synset, however the file numbers them


def test_a_file_of_labels_elsewhere_and_one_that_leaves_images_out(tmp_path: Path):
    put(tmp_path / "a", {"val.tar": tar_of(validation_images() | {"ILSVRC2012_val_00000099.JPEG": b"x"})})
    put(tmp_path / "b", validation_images() | {"ILSVRC2012_val_00000099.JPEG": b"x"})
    put(tmp_path / "labels", {"LOC_val_solution.csv": SOLUTION})
    for place in (tmp_path / "a" / "val.tar", tmp_path / "b"):
        assert refused(place) == (
            f"{place}: ImageNet's validation images, whose labels are in a file of their own (LOC_val_solution.csv, "
            "val.txt or ILSVRC2012_devkit_t12.tar.gz): put it beside them, or name it by --labels"
        )
        source = open_source(str(place), str(tmp_path / "labels" / "LOC_val_solution.csv"))
        found = without_ids(read(source))
        assert found.pop("ILSVRC2012_val_00000099.JPEG") == ("(none)", "no label among those of the validation images")
        assert found == expected_validation(SYNSETS)


def test_files_of_labels_that_are_unclear(tmp_path: Path):
    put(tmp_path, {"val.tar": tar_of(validation_images())})
    for name, text, reason in (
        (
            "val.txt",
            "ILSVRC2012_val_00000001.JPEG 0\n",
            "val.txt: holds numbers of classes; put LOC_synset_mapping.txt",
        ),
        ("val.txt", "a b c\n", "val.txt: 'a b c'; expected an image and a synset, or its number"),
        ("val.txt", "1\n2\n", "val.txt: holds numbers of the development kit, whose list is in meta.mat; put that bes"),
        ("LOC_val_solution.csv", "a,b\n1,2\n", "expected the columns ImageId and PredictionString"),
        ("LOC_val_solution.csv", "ImageId,PredictionString\nx,y 1\n", "x has 'y'; expected a synset such as n01440764"),
    ):
        put(tmp_path, {name: text})
        assert reason in refused(tmp_path / "val.tar")
    put(tmp_path, {"kit/ILSVRC2012_devkit_t12.tar.gz": b"\x1f\x8bnot"})
    reason = refused(tmp_path / "val.tar", str(tmp_path / "kit" / "ILSVRC2012_devkit_t12.tar.gz"))
    assert "is no readable development kit: " in reason
    assert "cannot be read" in refused(tmp_path / "val.tar", str(tmp_path / "nowhere.txt"))
    assert "expected a file of the validation images' labels" in refused(tmp_path / "val.tar", "{label}/*")
    put(tmp_path, {"val.txt": "ILSVRC2012_val_00000001.JPEG 7\n", "LOC_synset_mapping.txt": MAPPING})
    assert "has label 7; LOC_synset_mapping.txt has 3 classes, so 0 to 2" in refused(
        tmp_path / "val.tar", str(tmp_path / "val.txt")
    )


def test_kaggles_folders(tmp_path: Path):
    kaggle(tmp_path)
    data = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    for place in (tmp_path, tmp_path / "ILSVRC", data):
        source = open_source(str(place))
        assert (source.split, source.splits) == ("train", ("train", "val"))
        assert source.uri == str(data / "train")
        assert without_ids(read(source)) == {key: (NAMES[SYNSETS.index(key[:9])], image_of(key)) for key in KEYS}
        validation = open_source(str(place), split="val")
        assert without_ids(read(validation)) == expected_validation(NAMES)
        glance(validation)
        with pytest.raises(UserError, match="no split 'test'; choose train or val"):
            open_source(str(place), split="test")
    assert read(open_source(str(data / "train"))) == read(open_source(str(tmp_path)))
    assert read(open_source(str(data / "val"))) == read(open_source(str(tmp_path), split="val"))


def test_both_tars_in_a_folder_are_splits(tmp_path: Path):
    put(
        tmp_path,
        {
            "ILSVRC2012_img_train.tar": tar_of(class_tars()),
            "ILSVRC2012_img_val.tar": tar_of(validation_images()),
            "LOC_val_solution.csv": SOLUTION,
        },
    )
    assert open_source(str(tmp_path)) == ImageNetTars(
        str(tmp_path / "ILSVRC2012_img_train.tar"), None, "train", ("train", "val")
    )
    assert without_ids(read(open_source(str(tmp_path), split="val"))) == expected_validation(SYNSETS)
    (tmp_path / "ILSVRC2012_img_train.tar").unlink()
    assert without_ids(read(open_source(str(tmp_path)))) == expected_validation(SYNSETS)


def test_synset_folders_are_called_by_a_mapping_at_hand(tmp_path: Path):
    put(tmp_path / "imagenet" / "train", {key: image_of(key) for key in KEYS} | {"notes.txt": b"no image"})
    put(tmp_path / "imagenet" / "val", {key: image_of(key) for key in KEYS[:2]})
    source = open_source(str(tmp_path / "imagenet"))
    assert type(source) is FolderSource
    before = read(source)
    put(tmp_path / "imagenet", {"LOC_synset_mapping.txt": MAPPING})
    source = open_source(str(tmp_path / "imagenet"))
    assert type(source) is ImageNetFolder
    assert (source.split, source.splits) == ("train", ("train", "val"))
    found = read(source)
    assert {key: row[1] for key, row in found.items()} == {
        key: "(none)" if row[1] == "(none)" else NAMES[SYNSETS.index(row[1])] for key, row in before.items()
    }
    assert found["notes.txt"][2] == "not inside a class folder"
    assert open_source(str(tmp_path / "imagenet" / "val")).list().class_names == NAMES[:1]
    by_pattern = open_source(str(tmp_path / "imagenet" / "train"), "{label}/*")
    assert by_pattern.list().class_names == SYNSETS
    put(tmp_path / "people", {"ada/1.png": b"x", "bob/1.png": b"x", "LOC_synset_mapping.txt": MAPPING})
    assert type(open_source(str(tmp_path / "people"))) is FolderSource


def test_what_else_a_tar_of_class_tars_may_hold(tmp_path: Path):
    tars = class_tars()
    linked = io.BytesIO()
    with tarfile.open(fileobj=linked, mode="w") as tar:
        member = tarfile.TarInfo("n01440764_1.JPEG")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    tars["n01440764.tar"] = linked.getvalue()
    put(tmp_path, {"train.tar": tar_of(tars | {"readme.txt": b"text"})})
    found = without_ids(read(open_source(str(tmp_path / "train.tar"))))
    assert found.pop("n01440764/n01440764_1.JPEG") == ("(none)", "a link, not a file")
    assert found.pop("readme.txt") == ("(none)", "not in the tar of a class")
    assert list(found) == KEYS[2:]


def test_a_cut_tar_is_read_as_far_as_it_goes(tmp_path: Path):
    whole = tar_of(class_tars())
    place = whole.index(b"n03126707_9.JPEG") + 512 + 20  # inside the last image
    put(tmp_path, {"train.tar": whole[:place]})
    source = open_source(str(tmp_path / "train.tar"))
    found = without_ids(read(source))
    assert found.pop(KEYS[-1]) == ("(none)", "the tar ends inside this file")
    assert list(found) == KEYS[:-1]
    assert source.list().note == "without the mark of a tar's end, so perhaps cut: n03126707.tar"


def test_tars_that_are_no_imagenet(tmp_path: Path):
    deep = tar_of({"n01440764.tar": tar_of({"n01440764.tar": tar_of({"a.JPEG": b"x"})})})
    put(tmp_path, {"train.tar": deep})
    with pytest.raises(UserError) as caught:
        glance(open_source(str(tmp_path / "train.tar")))
    assert str(caught.value) == (
        f"{tmp_path}/train.tar: n01440764.tar: holds n01440764.tar, one level too deep: expected the images of one "
        "class"
    )
    put(tmp_path, {"train.tar": tar_of({"n01440764.tar": b"\x1f\x8b" + bytes(600)})})
    assert "train.tar: n01440764.tar: is compressed (gzip)" in refused(tmp_path / "train.tar")
    put(tmp_path, {"train.tar": tar_of(class_tars())})
    assert "--labels '{label}/*' cannot be used with it" in refused(tmp_path / "train.tar", "{label}/*")
    with pytest.raises(UserError, match="is one file; --split 'val' cannot be used with it"):
        open_source(str(tmp_path / "train.tar"), split="val")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x1f\x8b" + bytes(600), "is compressed (gzip)"),
        (b"<html>", "is no tar"),
        (b"", "holds neither the tars of classes (n01440764.tar) nor validation images"),
        (tar_of({"a.jpg": b"x"}), "holds neither the tars of classes (n01440764.tar) nor validation images"),
    ],
)
def test_what_is_called_as_an_imagenet_tar_and_is_none(tmp_path: Path, data: bytes, reason: str):
    put(tmp_path, {"ILSVRC2012_img_train.tar": data})
    for place in (tmp_path, tmp_path / "ILSVRC2012_img_train.tar"):
        assert f"{tmp_path}/ILSVRC2012_img_train.tar: {reason}" in refused(place)


def test_empty_images_are_read_as_such(tmp_path: Path):
    put(tmp_path, {"train.tar": tar_of({"n01440764.tar": tar_of({"n01440764_1.JPEG": b"", "n01440764_2.JPEG": b"x"})})})
    source = open_source(str(tmp_path / "train.tar"))
    assert list(source.read(source.list().table)) == [b"", b"x"]


@pytest.mark.store
def test_imagenet_in_a_bucket(bucket: str, tmp_path: Path):
    kaggle(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            write_bytes(join(bucket, "kaggle", path.relative_to(tmp_path).as_posix()), path.read_bytes())
    write_bytes(join(bucket, "tars", "ILSVRC2012_img_train.tar"), tar_of(class_tars()))
    write_bytes(join(bucket, "tars", "ILSVRC2012_img_val.tar"), tar_of(validation_images()))
    write_bytes(join(bucket, "tars", "LOC_synset_mapping.txt"), MAPPING.encode())
    write_bytes(join(bucket, "tars", "LOC_val_solution.csv"), SOLUTION.encode())
    for split in ("train", "val"):
        packed = open_source(join(bucket, "tars"), split=split)
        glance(packed)
        local = read(open_source(str(tmp_path), split=split))
        assert read(packed) == local
        assert read(open_source(join(bucket, "kaggle"), split=split)) == local
        assert read(open_source(join(bucket, "kaggle", "ILSVRC", "Data", "CLS-LOC", split))) == local
