import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.device import COMPUTE
from tests.noise.test_contract import config_for
from ue_ray.errors import UserError
from ue_ray.images.codec import decode, encode
from ue_ray.images.quality import psnr, ssim
from ue_ray.noise import delta_file
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget
from ue_ray.noise.methods import open_noise
from ue_ray.protection.shard import BudgetBroken, Change, ShardProtector, ShardResult
from ue_ray.storage.inputs.listing import sample_id
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Handling, Rejected, Sample, decode_rows
from ue_ray.storage.outputs.formats import shared_names


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("3", "7"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(3):
            shape = (16 + number, 20, 3)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "in" / name / f"{number}.png")
    (tmp_path / "in" / "7" / "bad.png").write_bytes(b"bad")
    return tmp_path


def protector(folder, output, method="random", **options):
    handling = Handling(**options)
    source = open_source(str(folder / "in"))
    listing = source.list()
    artifact = NoiseArtifact(config_for(method, "class-wise", "online", Budget(8 / 255)))
    shards = ShardProtector(
        source,
        listing.class_names,
        artifact,
        open_noise(artifact, COMPUTE),
        str(folder / output),
        handling,
        shared=shared_names(handling.format, listing.class_names, handling.extension, listing.table),
    )
    return shards, listing


def rows_of(folder, output):
    return pq.read_table(folder / output / "data" / "part-00000.parquet").to_pylist()


def test_a_shard_holds_every_good_image_and_the_reason_of_every_bad_one(folder):
    shards, listing = protector(folder, "out")
    result = shards.protect(3, listing.table)
    assert (result.record.protected, result.record.rejected) == (6, 1)
    assert 0 < result.change.largest <= 8 / 255
    assert pq.read_table(folder / "out" / "rejected" / "part-00003.parquet")["key"].to_pylist() == ["7/bad.png"]
    for row in pq.read_table(folder / "out" / "data" / "part-00003.parquet").to_pylist():
        before = decode((folder / "in" / row["image"]["path"]).read_bytes()).rgb
        assert np.abs(decode(row["image"]["bytes"]).rgb.astype(int) - before).max() <= 8


def test_each_class_of_a_shard_is_read_once_in_whatever_order_its_images_come(tmp_path, monkeypatch):
    classes, row = 6, 4 * 3 * 16 * 16
    for label in range(classes):
        (tmp_path / "in" / str(label)).mkdir(parents=True)
        for number in range(4):
            shape = (20 + number, 20)  # of four sizes: what was rounded for one is of no use to the next
            Image.new("RGB", shape, (99, 99, 99)).save(tmp_path / "in" / str(label) / f"{number}.png")
    monkeypatch.setattr(delta_file, "CHUNK_BYTES", row)
    monkeypatch.setattr(delta_file, "HELD_BYTES", classes * row)
    config = config_for("error-minimizing", "class-wise", "online", Budget(8 / 255))
    NoiseArtifact(config, deltas=torch.full((10, 3, 16, 16), 4 / 255)).save(str(tmp_path / "noise"))
    artifact = NoiseArtifact.load(str(tmp_path / "noise"))
    reads, plain = [], delta_file.read_range
    monkeypatch.setattr(
        delta_file, "read_range", lambda uri, start, count: (reads.append(start), plain(uri, start, count))[1]
    )
    source = open_source(str(tmp_path / "in"))
    listing = source.list()
    noise = open_noise(artifact, COMPUTE)
    shards = ShardProtector(source, listing.class_names, artifact, noise, str(tmp_path / "out"))
    monkeypatch.setattr("ue_ray.protection.shard.GRAIN", 2)
    order = np.random.default_rng(0).permutation(len(listing))
    result = shards.protect(0, listing.table.take(order))
    assert result.record.protected == 4 * classes
    assert len(reads) == classes
    assert reads == sorted(reads)


@pytest.mark.parametrize("encoding", ["png", "jpeg"])
def test_each_image_has_the_psnr_and_ssim_of_what_was_written(folder, encoding):
    Image.new("RGB", (10, 30)).save(folder / "in" / "3" / "small.png")
    shards, listing = protector(folder, "out", encoding=encoding)
    shards.protect(0, listing.table)
    for row in rows_of(folder, "out"):
        before = decode((folder / "in" / row["image"]["path"]).read_bytes()).rgb
        after = decode(row["image"]["bytes"]).rgb
        assert row["psnr"] == pytest.approx(psnr(before, after))
        assert row["ssim"] == (pytest.approx(ssim(before, after)) if "small" not in row["image"]["path"] else None)


@pytest.mark.parametrize("encoding", ["png", "webp", "jpeg"])
def test_a_shard_done_twice_is_the_same_file(folder, encoding):
    first, second = (
        protector(folder, output, encoding=encoding)[0].protect(0, open_source(str(folder / "in")).list().table)
        for output in "ab"
    )
    assert first == second  # sha256 included


def test_names_that_two_shards_would_share_are_kept_apart_and_the_same_when_done_again(folder):
    for name in ("photo.png", "Photo.bmp"):
        Image.new("RGB", (16, 16)).save(folder / "in" / "7" / name)
    for _ in range(2):  # as a run that goes on does
        shards, listing = protector(folder, "out", format="imagefolder")
        keys = listing.table["key"].to_pylist()
        renamed = {}
        for index, row in enumerate(map(keys.index, ("7/Photo.bmp", "7/photo.png", "3/0.png"))):
            renamed |= shards.protect(index, listing.table.slice(row, 1)).renamed
        ids = {key: sample_id(key) for key in ("7/Photo.bmp", "7/photo.png")}
        assert renamed == {key: f"{key[:-4]}-{ids[key]}.png" for key in ids}
        written = {path.relative_to(folder / "out" / "data").as_posix() for path in folder.rglob("out/data/*/*")}
        assert written == {"3/0.png", *renamed.values()}


def test_every_row_is_a_sample_or_rejected_in_order(folder):
    (folder / "in" / "stray.png").write_bytes(b"bad")
    source = open_source(str(folder / "in"))
    table = source.list().table
    entries = list(decode_rows(source, table, Handling(max_pixels=17 * 20)))
    assert [entry.key for entry in entries] == table["key"].to_pylist()
    reasons = {entry.key: entry.reason for entry in entries if isinstance(entry, Rejected)}
    assert reasons == {
        "3/2.png": "more than 340 pixels",
        "7/2.png": "more than 340 pixels",
        "7/bad.png": "not an image of a known format",
        "stray.png": "not inside a class folder",
    }
    for entry in entries:
        if isinstance(entry, Sample):
            assert (entry.image == np.asarray(Image.open(folder / "in" / entry.key))).all()


@pytest.mark.parametrize("encoding", ["png", "webp"])
def test_lossless_outputs_keep_all_of_the_noise_and_the_alpha(folder, encoding):
    alpha = np.random.default_rng(1).integers(0, 256, (16, 20), dtype=np.uint8)
    image = Image.open(folder / "in" / "3" / "0.png")
    image.putalpha(Image.fromarray(alpha))
    image.save(folder / "in" / "3" / "0.png")
    shards, listing = protector(folder, "out", encoding=encoding)
    result = shards.protect(0, listing.table)
    assert result.change.applied > 0
    assert result.change.surviving_share == 1.0
    assert result.notes == {}
    rows = rows_of(folder, "out")
    with Image.open(io.BytesIO(rows[0]["image"]["bytes"])) as written:
        assert written.format == encoding.upper()
    with_alpha = {row["image"]["path"]: decode(row["image"]["bytes"]).alpha for row in rows}
    assert (with_alpha.pop("3/0.png") == alpha).all()
    assert set(map(type, with_alpha.values())) == {type(None)}


def test_jpeg_outputs_are_measured_not_held_to_the_budget(folder):
    image = Image.open(folder / "in" / "3" / "0.png")
    image.putalpha(7)
    image.save(folder / "in" / "3" / "0.png")
    results = {}
    for quality in (95, 20):
        shards, listing = protector(folder, str(quality), encoding="jpeg", quality=quality)
        results[quality] = result = shards.protect(0, listing.table)
        assert result.record.protected == 6
        assert result.notes == {"transparency left out: JPEG has none": 1}
        largest = 0
        for row in rows_of(folder, str(quality)):
            before = decode((folder / "in" / row["image"]["path"]).read_bytes()).rgb.astype(int)
            largest = max(largest, np.abs(decode(row["image"]["bytes"]).rgb - before).max())
        assert result.change.largest == pytest.approx(largest / 255)
    assert results[20].change.largest > 8 / 255
    assert results[20].change.surviving_share < results[95].change.surviving_share - 0.1
    assert results[95].change.surviving_share > 0.9
    both = results[20].change + results[95].change
    assert both.surviving_share == pytest.approx(np.mean([of.change.surviving_share for of in results.values()]))
    assert Change().surviving_share == 1.0


def test_metadata_comes_along_only_when_asked_for(folder):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.open(folder / "in" / "3" / "0.png").save(folder / "in" / "3" / "0.png", exif=exif)
    for keep in (False, True):
        shards, listing = protector(folder, f"keep {keep}", keep_metadata=keep)
        shards.protect(0, listing.table)
        data = next(row["image"]["bytes"] for row in rows_of(folder, f"keep {keep}") if "3/0" in row["image"]["path"])
        assert (b"Maker" in data) == keep


def test_notes_are_counted_and_what_an_encoding_cannot_hold_is_rejected(folder):
    frames = [Image.new("RGB", (20, 16), (level, 99, 99)) for level in (10, 90)]
    frames[0].save(folder / "in" / "3" / "move.gif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (16_384, 1), (9, 99, 99)).save(folder / "in" / "3" / "wide.png")
    shards, listing = protector(folder, "out", encoding="webp")
    result = shards.protect(0, listing.table)
    assert result.notes == {"first frame of an animation": 1}
    assert (result.record.protected, result.record.rejected) == (7, 2)
    assert result.record.reasons["too large for WebP: more than 16,383 pixels wide or high"] == 1


def test_a_result_survives_json(folder):
    shards, listing = protector(folder, "out", encoding="jpeg")
    result = shards.protect(0, listing.table)
    assert len(result.to_json()) < 6000
    assert ShardResult.from_json(result.to_json()) == result


def test_an_output_outside_the_budget_stops_the_run(folder, monkeypatch):
    shards, listing = protector(folder, "out")
    monkeypatch.setattr(shards.noise, "protect", lambda images, *_: [image ^ 128 for image in images])
    with pytest.raises(BudgetBroken, match=r"changed by .* the budget is"):
        shards.protect(0, listing.table)
    assert not list((folder / "out").rglob("*.parquet"))


def test_more_pixels_than_one_stop_the_run(folder, monkeypatch):
    shards, listing = protector(folder, "out")
    monkeypatch.setattr(shards, "config", replace(shards.config, budget=Budget(1, "l0")))
    with pytest.raises(BudgetBroken, match=r"3/0.png: changed by 3\d\d pixels, the budget is 1 pixel \(l0\)"):
        shards.protect(0, listing.table)


def test_a_change_without_a_bound_is_measured(folder):
    shards, listing = protector(folder, "out", method="cuda")
    assert shards.protect(0, listing.table).change.largest > 32 / 255


def test_a_lossless_output_that_is_not_what_was_encoded_stops_the_run(folder, monkeypatch):
    shards, listing = protector(folder, "out")
    monkeypatch.setattr(Handling, "encode", lambda self, image, original: encode(image ^ 1))
    with pytest.raises(BudgetBroken, match="does not hold what was encoded"):
        shards.protect(0, listing.table)
    assert not list((folder / "out").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "gif"}, "unknown encoding 'gif': choose one of png, webp, jpeg"),
        ({"quality": 0}, "quality is 0: it must be from 1 to 100"),
        ({"max_pixels": 0}, "max-pixels is 0"),
    ],
)
def test_handling_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        Handling(**options)
