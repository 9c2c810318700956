"""A committed output as an input: what went in under an id comes out under it, in every format."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.outputs import make_output, make_photos
from ue_ray.errors import ReadFailure, UserError
from ue_ray.evaluation.comparison import compare
from ue_ray.evaluation.victim import load_data_set
from ue_ray.images.codec import decode
from ue_ray.protection.verify import Verification
from ue_ray.storage.filesystem import join, read_bytes, remove_tree, write_bytes
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.formats import FORMATS
from ue_ray.storage.store import OutOfReach

every_format = pytest.mark.parametrize("format", FORMATS)


def listed(uri: str) -> list[tuple[str, str, int]]:
    table = open_source(uri).list().table
    return list(zip(*(table[name].to_pylist() for name in ("sample_id", "key", "label")), strict=True))


@every_format
def test_ids_keys_labels_and_classes_are_those_of_the_input(outputs: Path, photos: Path, format: str):
    source = open_source(str(outputs / format))
    assert type(source) is OutputSource
    assert source.list().class_names == ["Bob", "ada"]
    protected = [row for row in listed(str(photos)) if row[1] not in ("ada/notes.txt", "stray.png")]
    assert listed(str(outputs / format)) == protected
    assert len(protected) == 12


@every_format
def test_images_are_those_that_were_written_in_any_order(outputs: Path, format: str):
    source = open_source(str(outputs / format))
    rows = source.list().table
    images = list(source.read(rows))
    name = {"parquet": "row", "imagefolder": "path", "webdataset": "offset", "recordio": "offset"}[format]
    assert name in rows.column_names
    order = np.random.default_rng(0).permutation(len(images))
    assert list(source.read(rows.take(order))) == [images[row] for row in order]
    assert list(source.read(rows.slice(3, 2))) == images[3:5]
    assert list(source.read(rows.slice(0, 0))) == []
    reference = open_source(str(outputs / "parquet"))
    assert images == list(reference.read(reference.list().table))
    if format != "parquet":  # whose sizes are means
        assert source.list().nbytes().tolist() == [len(image) for image in images]


@every_format
def test_an_output_elsewhere_than_on_disk(photos: Path, outputs: Path, format: str):
    uri = make_output(photos, f"memory://committed/{format}", format).uri
    source, local = open_source(uri), open_source(str(outputs / format))
    assert listed(uri) == listed(str(outputs / format))
    assert list(source.read(source.list().table)) == list(local.read(local.list().table))
    assert source.list().fingerprint() == local.list().fingerprint()


@every_format
def test_an_output_is_measured_beside_what_it_was_made_of(outputs: Path, photos: Path, format: str):
    sources = open_source(str(photos)), open_source(str(outputs / format))
    clean, protected = (load_data_set(source, source.list(), 8) for source in sources)
    comparison = compare(sources, *(source.list() for source in sources))
    assert (comparison.aligned, comparison.missing) == (12, 0)
    assert 0 < (comparison.max_abs_delta or 0) <= 8 / 255 + 1e-6
    assert np.array_equal(clean.labels, protected.labels)


@every_format
def test_an_output_is_protected_again_and_verified_beside_the_first(outputs: Path, tmp_path: Path, format: str):
    first = str(outputs / format)
    again = make_output(Path(first), str(tmp_path / "again"), format, level=4)
    assert listed(again.uri) == listed(first)
    verification = Verification(again.uri, open_source(first))
    assert list(verification.faults()) == []
    assert "12 samples" in verification.summary()
    assert "largest change of a pixel 4/255" in verification.summary()


@every_format
def test_an_image_that_is_damaged_or_gone_takes_no_other_with_it(photos: Path, format: str):
    uri = make_output(photos, f"memory://damaged/{format}", format).uri
    source = open_source(uri)
    rows = source.list().table
    name = {
        "parquet": "data/part-00001.parquet",
        "webdataset": "data/part-00001.tar",
        "recordio": "data/part-00001.rec",
    }.get(format, "data/ada/4.png")
    write_bytes(join(uri, name), read_bytes(join(uri, name))[:40])
    found = list(source.read(rows))
    lost = [place for place, image in enumerate(found) if isinstance(image, ReadFailure) or len(image) == 40]
    assert len(lost) == (1 if format == "imagefolder" else 5)
    assert all(decode(image).rgb.shape[1] == 10 for place, image in enumerate(found) if place not in lost)
    remove_tree(uri)
    with pytest.raises(OutOfReach, match="no longer there"):
        list(source.read(rows))


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("parquet", "data/part-00000.parquet"),
        ("imagefolder", "index/part-00000.parquet"),
        ("webdataset", "data/part-00000.tar"),
        ("recordio", "index/part-00000.rec.parquet"),
    ],
)
@pytest.mark.parametrize("damage", ["cut", "gone", "noise"])
def test_a_recorded_file_that_cannot_be_listed_is_named(
    photos: Path, tmp_path: Path, format: str, name: str, damage: str
):
    make_output(photos, str(tmp_path), format)
    path = tmp_path / name
    whole = path.read_bytes()
    path.write_bytes(whole[:700] if damage == "cut" else np.random.default_rng(0).bytes(len(whole)))
    if damage == "gone":
        path.unlink()
    with pytest.raises(UserError) as caught:
        open_source(str(tmp_path)).list()
    assert str(caught.value).startswith(f"{tmp_path}: {name}: cannot be read: ")
    assert "\n" not in str(caught.value)


def test_a_tar_that_ends_early_is_not_taken_for_the_whole(photos: Path, tmp_path: Path):
    make_output(photos, str(tmp_path), "webdataset")
    path = tmp_path / "data" / "part-00000.tar"
    with tarfile.open(path) as tar:
        fourth = tar.getmembers()[3].offset
    path.write_bytes(path.read_bytes()[:fourth])
    with pytest.raises(UserError, match=r"part-00000.tar: holds 1 images, the manifest records 5"):
        open_source(str(tmp_path)).list()


def test_what_the_manifest_does_not_name_is_no_input(photos: Path, tmp_path: Path):
    make_output(photos, str(tmp_path), "parquet")
    (tmp_path / "data" / "part-00077.parquet").write_bytes(b"extra")
    assert len(open_source(str(tmp_path)).list()) == 12


def test_a_manifest_cannot_name_files_outside_the_output(photos: Path, tmp_path: Path):
    make_output(photos, str(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    (tmp_path / "out" / "data" / "part-00000.parquet").rename(tmp_path / "secret.parquet")
    for file in manifest["files"]:
        if file["name"] == "data/part-00000.parquet":
            file["name"] = "data/part-/../../../secret.parquet"
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))
    assert "secret.parquet" not in str(open_source(str(tmp_path / "out")).list().table["file"].to_pylist())


@pytest.mark.parametrize("text", ["", "{}", '{"format_version": 2, "files": [{"name": 1}]}'])
def test_a_manifest_that_cannot_be_read_is_one_line(photos: Path, tmp_path: Path, text: str):
    make_output(photos, str(tmp_path))
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"its manifest\.json cannot be read: ") as caught:
        open_source(str(tmp_path)).list()
    assert "\n" not in str(caught.value)


def test_an_output_of_another_version_is_refused(photos: Path, tmp_path: Path):
    make_output(photos, str(tmp_path))
    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text.replace('"format_version": 2', '"format_version": 1', 1))
    with pytest.raises(UserError, match="has format 1: this is 2"):
        open_source(str(tmp_path)).list()


def test_an_output_of_rejections_alone_holds_nothing(tmp_path: Path):
    photos = make_photos(tmp_path / "photos", 2)
    for path in photos.rglob("*.png"):
        path.write_bytes(b"broken")
    make_output(photos, str(tmp_path / "out"))
    with pytest.raises(UserError, match="holds no protected image: every input was rejected"):
        open_source(str(tmp_path / "out")).list()
