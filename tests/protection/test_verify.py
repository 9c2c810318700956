"""Every fault of a committed output is found and said in one line; a sound output has none."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks.reliability.flips import flip_caught, kinds_of_files
from tests.outputs import make_output, make_photos
from ue_ray.errors import UserError
from ue_ray.protection.verify import Verification
from ue_ray.storage.filesystem import write_bytes
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.formats import FORMATS

every_format = pytest.mark.parametrize("format", FORMATS)


@pytest.fixture
def copy(outputs: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda format: shutil.copytree(outputs / format, tmp_path / format)


def verified(output: Path, photos: Path | None = None) -> tuple[list[str], str]:
    verification = Verification(str(output), open_source(str(photos)) if photos else None)
    faults = list(verification.faults())
    assert verification.count == len(faults)
    assert not any("\n" in fault for fault in faults)
    return faults, verification.summary()


def recorded(output: Path, folder: str) -> list[Path]:
    return sorted(path for path in (output / folder).rglob("*") if path.is_file())


def recommit(output: Path, change: Callable[[dict], None]) -> None:
    """Change the manifest and give it the digest that goes with it, as a forger would."""
    manifest = json.loads((output / "manifest.json").read_text())
    change(manifest)
    text = json.dumps(manifest)
    (output / "manifest.json").write_text(text)
    (output / "_SUCCESS").write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n")


def record_again(output: Path, name: str) -> None:
    """Make the manifest fit a changed file."""

    def change(manifest: dict) -> None:
        data = (output / name).read_bytes()
        (file,) = (file for file in manifest["files"] if file["name"] == name)
        file |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    recommit(output, change)


@every_format
def test_a_sound_output_has_no_fault(outputs: Path, photos: Path, format: str):
    faults, summary = verified(outputs / format)
    assert faults == []
    assert summary == f"verified: 14 samples in 4 files: no fault; {outputs / format}"
    faults, summary = verified(outputs / format, photos)
    assert faults == []
    assert ", largest change of a pixel 8/255: no fault" in summary


def test_a_preview_is_checked_where_the_manifest_has_one(copy: Callable):
    output = copy("parquet")
    preview = {"sha256": hashlib.sha256(b"page").hexdigest()}
    recommit(output, lambda manifest: manifest.update(preview=preview))
    assert verified(output)[0] == ["preview.html: missing"]
    (output / "preview.html").write_bytes(b"page")
    assert verified(output)[0] == []
    (output / "preview.html").write_bytes(b"pane")
    assert verified(output)[0] == ["preview.html: sha256 differs from the manifest"]


def test_an_output_without_psnr_and_ssim_is_sound(copy: Callable, photos: Path):
    """As earlier versions wrote them."""
    output = copy("parquet")
    for file in recorded(output, "data"):
        pq.write_table(pq.read_table(file).drop_columns(["psnr", "ssim"]), file)
        record_again(output, f"data/{file.name}")
    assert verified(output, photos)[0] == []


def test_an_output_elsewhere_than_on_disk(photos: Path):
    output = make_output(photos, "memory://verify/out", "imagefolder")
    assert list(Verification(output.uri, open_source(str(photos))).faults()) == []
    write_bytes("memory://verify/out/data/ada/extra.png", b"extra")
    assert list(Verification(output.uri).faults()) == ["data/ada/extra.png: is there but not recorded"]


@every_format
def test_single_flipped_bits_are_caught_in_every_kind_of_file(outputs: Path, tmp_path: Path, format: str):
    output = shutil.copytree(outputs / format, tmp_path / format)
    rng = np.random.default_rng(0)
    kinds = kinds_of_files(output)
    assert set(kinds) == {"_SUCCESS", "manifest.json", "card", "tensors", "recorded", "rejected"} | (
        {"image"} if format == "imagefolder" else set()
    )
    chosen = [paths[rng.integers(len(paths))] for paths in kinds.values() for _ in range(12)]
    assert [path for path in chosen if not flip_caught(output, path, rng)] == []
    assert verified(output)[0] == []  # each flip was taken back


@every_format
def test_a_missing_an_extra_and_a_renamed_file_are_named(copy: Callable[[str], Path], format: str):
    output = copy(format)
    first, *_, last = recorded(output, "data")
    first.unlink()
    extra = last.with_name("extra" + last.suffix)
    shutil.copy(last, extra)
    (rejected, *_) = recorded(output, "rejected")
    rejected.rename(rejected.with_name("part-00077.parquet"))
    faults, summary = verified(output)
    assert sorted(faults) == sorted(
        [
            f"{first.relative_to(output)}: missing",
            f"{extra.relative_to(output)}: is there but not recorded",
            f"{rejected.relative_to(output)}: missing",
            "rejected/part-00077.parquet: is there but not recorded",
        ]
    )
    assert ": 4 faults; " in summary


def test_a_missing_index_is_one_fault(copy: Callable[[str], Path]):
    output = copy("imagefolder")
    (output / "index" / "part-00001.parquet").unlink()
    assert verified(output)[0] == ["index/part-00001.parquet: missing"]


@pytest.mark.parametrize("name", ["noise/card.json", "noise/noise-*.safetensors", "manifest.json"])
def test_what_goes_with_the_images_must_be_there(copy: Callable[[str], Path], name: str):
    output = copy("parquet")
    [file] = output.glob(name)
    file.unlink()
    assert verified(output)[0] == [f"{file.relative_to(output)}: missing"]


def test_a_leftover_of_a_killed_writer_is_nobodys_data(copy: Callable[[str], Path]):
    output = copy("imagefolder")
    (output / "data" / "ada" / f".1.png.{'0' * 32}.tmp").write_bytes(b"half")
    assert verified(output)[0] == []


def test_a_shorter_file_is_told_by_its_size(copy: Callable[[str], Path]):
    output = copy("webdataset")
    path = output / "data" / "part-00000.tar"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-512])
    assert verified(output)[0] == [f"data/part-00000.tar: has {size - 512:,} bytes, the manifest records {size:,}"]


def test_damaged_records_are_named_and_the_others_read(copy: Callable[[str], Path], photos: Path):
    output = copy("recordio")
    path = output / "data" / "part-00000.rec"
    data = bytearray(path.read_bytes())
    data[60] ^= 1  # in the first record
    path.write_bytes(data + b"more")
    assert verified(output, photos)[0] == [
        "data/part-00000.rec: 'Bob/1.png': sha256 differs from the index",
        "data/part-00000.rec: is longer than the index says",
    ]
    path.with_suffix(".idx").write_text("0\t0\n")
    path.unlink()
    assert verified(output)[0] == [
        "data/part-00000.idx: is not the index of data/part-00000.rec",
        "data/part-00000.rec: missing",
        "index/part-00000.rec.parquet: holds 0 samples, the manifest records 5",
    ]


def test_counts_that_do_not_add_up(copy: Callable[[str], Path]):
    output = copy("parquet")
    recommit(output, lambda manifest: manifest.update(protected=13, rejected_reasons={}))
    assert verified(output)[0] == [
        "manifest.json: 13 protected + 2 rejected are not 14 inputs",
        "manifest.json: 13 protected, but its files hold 12",
        "manifest.json: rejected_reasons are not those in rejected/",
    ]


def test_a_file_that_holds_other_samples_than_recorded(copy: Callable[[str], Path], photos: Path):
    """A forger who also fits the manifest is found by counting, and by the input."""
    output = copy("parquet")
    data = output / "data"
    shutil.copy(data / "part-00000.parquet", data / "part-00001.parquet")
    record_again(output, "data/part-00001.parquet")
    first = pq.read_table(data / "part-00000.parquet")
    twice = [f"sample_id {id} is also in data/part-00000.parquet" for id in first["sample_id"].to_pylist()]
    faults, _ = verified(output)
    assert sorted(faults) == sorted(f"data/part-00001.parquet: {text}" for text in twice)
    faults, _ = verified(output, photos)
    assert sum("neither protected nor rejected" in fault for fault in faults) == len(first)


def test_an_image_that_does_not_decode(copy: Callable[[str], Path]):
    output = copy("parquet")
    name = "data/part-00000.parquet"
    table = pq.read_table(output / name)
    rows = table.to_pylist()
    rows[1]["image"]["bytes"] = rows[1]["image"]["bytes"][:60]
    pq.write_table(table.from_pylist(rows, table.schema), output / name)
    record_again(output, name)
    key = rows[1]["image"]["path"]
    assert verified(output)[0] == [f"{name}: {key!r}: is no image: truncated image"]


def test_a_change_beyond_the_budget_names_the_image(photos: Path, tmp_path: Path):
    make_output(photos, str(tmp_path / "out"), level=9)
    faults, summary = verified(tmp_path / "out", photos)
    assert len(faults) == 12
    assert "data/part-00000.parquet: 'Bob/1.png': changed by 9.00/255, the budget is 8/255 (linf)" in faults
    assert "largest change of a pixel 9/255: 12 faults" in summary
    assert verified(tmp_path / "out")[0] == []  # nothing to compare with
    one_pixel = {"epsilon": 1, "norm": "l0"}
    recommit(tmp_path / "out", lambda manifest: manifest["noise"].update(budget=one_pixel))
    pixels = np.prod(Image.open(photos / "Bob" / "1.png").size)
    said = f"data/part-00000.parquet: 'Bob/1.png': changed by {pixels} pixels, the budget is 1 pixel (l0)"
    assert said in verified(tmp_path / "out", photos)[0]
    recommit(tmp_path / "out", lambda manifest: manifest.update(run={"handling": {"encoding": "jpeg"}}))
    faults, summary = verified(tmp_path / "out", photos)
    assert faults == []
    assert "largest change of a pixel 9/255 (jpeg: not judged): no fault" in summary


def test_another_input_is_told_from_the_right_one(outputs: Path, photos: Path, tmp_path: Path):
    other = shutil.copytree(photos, tmp_path / "other")
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(other / "ada" / "0.png")  # another size
    (other / "ada" / "2.png").write_bytes(b"broken")
    (other / "Bob" / "1.png").rename(other / "Bob" / "new.png")
    faults, _ = verified(outputs / "webdataset", other)
    assert faults[0].startswith("input: other files, labels or sizes than were protected")
    assert {fault.partition(": ")[2] for fault in faults[1:]} == {
        "'ada/0.png': is 10x8, its original 9x8",
        "'ada/2.png': its original cannot be read: not an image of a known format",
        "'Bob/1.png': is not in the input",
        "'Bob/new.png': neither protected nor rejected",
    }


def test_a_place_without_an_output_is_a_mistake(tmp_path: Path, photos: Path):
    for place in (tmp_path, tmp_path / "nowhere", photos):
        with pytest.raises(UserError, match=r"not a committed output \(no _SUCCESS\)"):
            Verification(str(place))


def test_an_output_of_rejections_alone(tmp_path: Path):
    photos = make_photos(tmp_path / "photos", 2)
    for path in photos.rglob("*.png"):
        path.write_bytes(b"broken")
    make_output(photos, str(tmp_path / "out"), "imagefolder")
    assert verified(tmp_path / "out", photos)[0] == []
