"""WebDataset tars as an input; what is read was written by the webdataset library or by tar, and read by it, too."""

import io
import json
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ue_ray.errors import ReadFailure, UserError
from ue_ray.images.codec import decode
from ue_ray.storage.filesystem import join, open_store
from ue_ray.storage.inputs import pieces
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.inputs.first_look import first_look
from ue_ray.storage.inputs.folder import LEFT_BEHIND, FolderSource
from ue_ray.storage.inputs.listing import Listing, sample_id
from ue_ray.storage.inputs.open_source import glance, keep_apart, open_source
from ue_ray.storage.inputs.tar_samples import CUT, DAMAGED, NO_IMAGE, SEVERAL, SPARSE
from ue_ray.storage.inputs.webdataset import WebDatasetSource
from ue_ray.storage.local import LocalStore


def pixels(value: int = 0) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (value % 256, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def tar(path: Path, files: Mapping[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as opened:
        for name, data in files.items():
            content = data if isinstance(data, bytes) else data.encode()
            header = tarfile.TarInfo(name)
            header.size = len(content)
            opened.addfile(header, io.BytesIO(content))
    return path


def facts(**fields: Any) -> str:
    return json.dumps(fields)


def listed(path: Path | str, **options: Any) -> Listing:
    return open_source(str(path), **options).list()


def classes(listing: Listing) -> dict[str, str | None]:
    names = [*listing.class_names, None]
    return {key: names[label] for key, label in zip(listing.table["key"].to_pylist(), listing.labels(), strict=True)}


def faults(listing: Listing) -> dict[str, str]:
    columns = (listing.table[name].to_pylist() for name in ("key", "fault"))
    return {key: fault for key, fault in zip(*columns, strict=True) if fault}


def images(source: Any) -> dict[str, bytes | ReadFailure]:
    table = source.list().table
    return dict(zip(table["key"].to_pylist(), source.read(table), strict=True))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Written by the webdataset library, three samples a shard: labels 0, 1, 2."""
    webdataset = pytest.importorskip("webdataset")
    folder = tmp_path / "shards"
    folder.mkdir()
    with webdataset.ShardWriter(f"{folder}/train-%06d.tar", maxcount=3, verbose=0) as writer:
        for n in range(8):
            writer.write({"__key__": f"{n:08}", "jpg": pixels(n), "cls": n % 3, "json": {"identity": f"id-{n % 2}"}})
    return folder


def test_what_the_library_writes_is_read_as_the_library_reads_it(shards: Path):
    webdataset = pytest.importorskip("webdataset")
    source = open_source(str(shards))
    assert isinstance(source, WebDatasetSource)
    listing = source.list()
    assert listing.class_names == ["0", "1", "2"]
    assert listing.own_numbers
    paths = sorted(map(str, shards.glob("*.tar")))
    expected = {
        f"{Path(sample['__url__']).name}/{sample['__key__']}.jpg": (sample["jpg"], int(sample["cls"]))
        for sample in webdataset.WebDataset(paths, shardshuffle=False)
    }
    labels = listing.labels().tolist()
    found = dict(
        zip(listing.table["key"].to_pylist(), zip(source.read(listing.table), labels, strict=True), strict=True)
    )
    assert found == expected
    assert len(found) == 8
    assert listing.table["nbytes"].to_pylist() == [len(data) for data, _ in expected.values()]
    keys = listing.table["key"].to_pylist()
    assert listing.table["sample_id"].to_pylist() == [sample_id(key) for key in keys]
    assert keys == sorted(keys)


def test_a_folder_a_tar_a_pattern_and_braces_give_the_same_rows(shards: Path, monkeypatch: pytest.MonkeyPatch):
    whole = listed(shards).table
    for uri in ("train-*.tar", "train-{000000..000002}.tar", "train-00000[012].tar", "train-00000?.tar", "**/*.tar"):
        assert listed(shards / uri).table == whole, uri
    monkeypatch.chdir(shards.parent)
    assert listed("shards/*.tar").table == whole
    assert listed("sh*/{train,train}-*.tar").table["sample_id"].to_pylist() != []
    one = listed(shards / "train-000001.tar").table
    assert one["sample_id"].to_pylist() == whole["sample_id"].to_pylist()[3:6]
    assert set(images(open_source(str(shards / "train-000001.tar"))).values()) == {pixels(3), pixels(4), pixels(5)}
    assert open_source(str(shards / "train-{000000..000001}.tar")).list().table == whole.slice(0, 6)


def test_a_pattern_that_names_what_is_not_there_is_refused(shards: Path):
    for pattern, said in [
        ("train-{000000..000004}.tar", r"2 of 5 files are not there: train-000003.tar, train-000004.tar"),
        ("test-*.tar", "no file is called so"),
        ("train-{0-3}.tar", r"\{0-3\} is no range and no list"),
        ("train-{0..3.tar", "braces that do not close"),
        ("train-{0..9999999}.tar", "more than 1,000,000 names"),
        ("*.jpg", r"does not exist, .*; a pattern names tars, and ends in \.tar"),
    ]:
        with pytest.raises(UserError, match=said):
            listed(shards / pattern)
    with pytest.raises(UserError, match="names the tars that are read; --split 'train' cannot"):
        open_source(str(shards / "*.tar"), split="train")
    strange = tar(shards.parent / "a[1]{x}.tar", {"1.jpg": pixels(), "1.cls": "cat"})
    assert classes(listed(strange)) == {"a[1]{x}.tar/1.jpg": "cat"}


def test_the_order_of_a_tar_does_not_matter_and_each_byte_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files: dict[str, bytes | str] = {f"{n}.jpg": pixels(n) for n in range(50)}
    path = tar(tmp_path / "x.tar", files | {f"{n}.cls": str(n % 2) for n in range(50)})
    source = open_source(str(path))
    assert images(source) == {f"x.tar/{name}": data for name, data in files.items()}
    spans = []
    read = pieces._read
    monkeypatch.setattr(pieces, "_read", lambda store, span: (spans.append(span), read(store, span))[1])
    rows = source.list().table
    assert list(source.read(rows.take([40, 3]))) == [pixels(40), pixels(3)]
    assert len(spans) == 2
    list(source.read(rows))
    assert len(spans) == 3


def test_keys_and_endings_follow_the_rule_of_the_library(tmp_path: Path):
    names = {
        "a.JPG": "a.JPG", "b.c/d.jpeg": "b.c/d.jpeg", "e.seg.png": "e.seg.png", "e.Jpg": "e.Jpg",
        "f.input.webp": "f.input.webp", "./g/h.tiff": "g/h.tiff",
    }  # fmt: skip
    labels = dict.fromkeys(("a.cls", "b.c/d.CLS", "e.cls", "f.cls", "g/h.cls"), "cat")
    listing = listed(tar(tmp_path / "x.tar", dict.fromkeys(names, pixels()) | labels))
    expected = {f"x.tar/{name}" for name in names.values()} - {"x.tar/e.seg.png"}
    assert classes(listing) == dict.fromkeys(expected, "cat")
    assert listing.note == "1 image beside the one of a sample left out, such as e.seg.png in x.tar"


def test_every_sample_is_read_or_has_its_reason(tmp_path: Path):
    files = {
        "good.jpg": pixels(), "good.cls": "cat",
        "two.jpg": pixels(), "two.png": pixels(), "two.cls": "cat",
        "dotted.2020.jpg": pixels(), "dotted.2021.jpg": pixels(),
        "alone.jpg": pixels(),
        "noimage.cls": "cat", "noimage.txt": "a cat",
        "README": "no sample",
        "empty.jpg": pixels(), "empty.cls": " \n",
        "lines.jpg": pixels(), "lines.cls": "a\nb",
        "bytes.jpg": pixels(), "bytes.cls": b"\xff",
        "broken.jpg": b"no image", "broken.cls": "cat",
        "._good.jpg": b"mac", "__MACOSX/a.jpg": b"mac", "__meta__": "the library's own", "__x__/a.jpg": b"x",
    }  # fmt: skip
    path = tar(tmp_path / "x.tar", files)
    source = open_source(str(path))
    listing = source.list()
    assert faults(listing) == {
        "x.tar/two.jpg": SEVERAL,
        "x.tar/dotted.2020.jpg": SEVERAL,
        "x.tar/alone.jpg": "no .cls in the sample",
        "x.tar/noimage.cls": NO_IMAGE,
        "x.tar/README": NO_IMAGE,
        "x.tar/empty.jpg": "its .cls is empty",
        "x.tar/lines.jpg": "its .cls has several lines",
        "x.tar/bytes.jpg": "its .cls is no text in UTF-8",
        "x.tar/._good.jpg": LEFT_BEHIND.reason,
        "x.tar/__MACOSX/a.jpg": LEFT_BEHIND.reason,
    }
    found = images(source)
    assert {key: data for key, data in found.items() if isinstance(data, bytes)} == {
        "x.tar/good.jpg": pixels(), "x.tar/broken.jpg": b"no image"
    }  # fmt: skip
    assert {key: data.reason for key, data in found.items() if isinstance(data, ReadFailure)} == faults(listing)
    assert classes(listing) == {key: None if key in faults(listing) else "cat" for key in found}
    look = first_look(source, listing)
    assert (look.note, look.shapes) == ("", [(8, 8)])


def test_labels_are_numbers_where_all_are(tmp_path: Path):
    def numbered(*labels: Any) -> Listing:
        files = {
            f"{n}.{end}": pixels() if end == "jpg" else facts(label=label)
            for n, label in enumerate(labels)
            for end in ("jpg", "json")
        }
        return listed(tar(tmp_path / "x.tar", files))

    for labels, names, numbers in [
        ((2, 0), ["0", "1", "2"], [2, 0]),
        (("2", 0.0), ["0", "1", "2"], [2, 0]),
        (("b", 1, "a"), ["1", "a", "b"], [2, 0, 1]),
        (("007", "1"), ["007", "1"], [0, 1]),
        ((10**9, 3), ["1000000000", "3"], [0, 1]),
    ]:
        listing = numbered(*labels)
        assert (listing.class_names, listing.labels().tolist()) == (names, numbers)
        assert listing.own_numbers is (len(names) == 3 and names[0] == "0")
    listing = numbered(1, -1, None, [1], True, 1.5, 0)
    assert listing.labels().tolist() == [1, -1, -1, -1, -1, -1, 0]
    assert Counter(faults(listing).values()) == {
        "label -1 is below 0, no class": 1, "the label in its .json is neither text nor a whole number": 4
    }  # fmt: skip


def test_where_labels_stand(tmp_path: Path):
    image = {"a.jpg": pixels(), "b.jpg": pixels()}
    both = tar(
        tmp_path / "both.tar", image | {"a.json": facts(label="x", cls="y"), "b.json": facts(label="x", cls="z")}
    )
    with pytest.raises(UserError, match=r"the \.json files have label and cls: --label-field chooses"):
        listed(both)
    assert listed(both, label_field="cls").class_names == ["y", "z"]
    with pytest.raises(UserError, match=r"no field identity .* in any \.json; found label, cls: --label-field chooses"):
        listed(both, label_field="identity")
    with pytest.raises(UserError, match=r"no sample has a label in a \.txt"):
        listed(both, label_field="txt")
    text = tar(tmp_path / "text.tar", image | {"a.txt": "ada\n", "b.txt": "bob", "a.json": facts(url="u", caption="c")})
    assert classes(listed(text, label_field="txt")) == {"text.tar/a.jpg": "ada", "text.tar/b.jpg": "bob"}
    plain = listed(text)
    assert plain.class_names == ["text"]
    assert plain.note == (
        "no labels in the tars (.cls, or label in .json): all is one class; "
        "--label-field takes a field of .json: url, caption"
    )
    first = tar(tmp_path / "first.tar", image | {"a.cls": "1", "b.cls": "0", "a.json": facts(label="x"), "b.json": "{"})
    assert listed(first).labels().tolist() == [1, 0], ".cls goes first"
    broken = tar(tmp_path / "broken.tar", image | {"a.json": facts(id=3), "b.json": "{"})
    assert faults(listed(broken, label_field="id"))["broken.tar/b.jpg"].startswith("its .json cannot be read: ")
    names = tar(tmp_path / "names.tar", image | {"a.json": facts(name="ada"), "b.json": facts(name="bob")})
    assert classes(listed(names, label_field="name")) == {"names.tar/a.jpg": "ada", "names.tar/b.jpg": "bob"}
    missing = tar(tmp_path / "missing.tar", image | {"a.json": facts(id=3), "b.json": facts(other=3)})
    assert faults(listed(missing, label_field="id")) == {"missing.tar/b.jpg": "no id in a .json of the sample"}


def test_without_labels_folders_are_the_classes(tmp_path: Path):
    ada, bob = tar(tmp_path / "1.tar", {"p/ada/1.jpg": pixels()}), {"p/bob/x/2.jpg": pixels()}
    tar(tmp_path / "2.tar", bob)
    listing = listed(tmp_path)
    assert classes(listing) == {"1.tar/p/ada/1.jpg": "ada", "2.tar/p/bob/x/2.jpg": "bob"}
    assert listing.note == "no labels in the tars (.cls, or label in .json): their folders are the classes"
    assert listed(ada).class_names == ["ada"]
    mixed = listed(tar(tmp_path / "3.tar", {"a/1.jpg": pixels(), "2.jpg": pixels()}))
    assert faults(mixed) == {"3.tar/2.jpg": "not inside a class folder"}
    own = tar(tmp_path / "mine" / "0.tar", {"1.jpg": pixels()}).parent
    assert listed(own).class_names == ["mine"]
    assert listed(own / "*.tar").class_names == ["mine"]


def test_labels_by_a_pattern_or_a_table_of_keys(tmp_path: Path):
    folder = tar(tmp_path / "t" / "cats.tar", {"1.jpg": pixels(), "1.cls": "5"}).parent
    tar(folder / "dogs.tar", {"1.jpg": pixels()})
    assert classes(listed(folder, labels="{label}.tar/**")) == {"cats.tar/1.jpg": "cats", "dogs.tar/1.jpg": "dogs"}
    (tmp_path / "labels.csv").write_text("key,label\ncats.tar/1.jpg,felix\n")
    listing = listed(folder, labels=str(tmp_path / "labels.csv"))
    assert classes(listing) == {"cats.tar/1.jpg": "felix", "dogs.tar/1.jpg": None}
    assert faults(listing) == {"dogs.tar/1.jpg": "no label in labels.csv"}
    with pytest.raises(UserError, match="say the same: give one"):
        open_source(str(folder), "{label}/*", label_field="id")


def test_one_key_in_two_shards_is_two_samples(tmp_path: Path):
    for shard in ("0.tar", "1.tar", "deep/0.tar"):
        tar(tmp_path / shard, {"1.jpg": pixels(), "1.cls": "0"})
    assert sorted(listed(tmp_path).table["key"].to_pylist()) == ["0.tar/1.jpg", "1.tar/1.jpg", "deep/0.tar/1.jpg"]


def test_a_cut_or_damaged_tar_loses_only_what_is_lost(tmp_path: Path):
    files = {f"{n}.{end}": data for n in range(4) for end, data in (("cls", "cat"), ("jpg", pixels(n)))}
    path = tar(tmp_path / "x.tar", files)
    whole = path.read_bytes()
    with tarfile.open(path) as opened:
        third, last = opened.getmember("2.jpg"), opened.getmember("3.jpg")
    path.write_bytes(whole[: last.offset_data + 9])
    listing = listed(path)
    assert faults(listing) == {"x.tar/3.jpg": CUT}
    assert listing.note == "without the mark of a tar's end, so perhaps cut: x.tar"
    damaged = bytearray(whole)
    damaged[third.offset + 1] ^= 0xFF
    path.write_bytes(damaged)
    source = open_source(str(path))
    lost = {f"x.tar/from byte {third.offset}": DAMAGED, "x.tar/2.cls": NO_IMAGE}
    assert faults(source.list()) == lost
    assert [data for data in images(source).values() if isinstance(data, bytes)] == [pixels(0), pixels(1)]


def test_sparse_files_links_and_empty_tars_are_said(tmp_path: Path):
    if (program := shutil.which("tar")) is None:
        pytest.skip("needs tar")
    (tmp_path / "s").mkdir()
    with (tmp_path / "s" / "hole.jpg").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"x")
    (tmp_path / "s" / "a.jpg").write_bytes(pixels())
    (tmp_path / "s" / "b.jpg").symlink_to("a.jpg")
    (tmp_path / "t").mkdir()
    subprocess.run([program, "-S", "-cf", tmp_path / "t" / "x.tar", "-C", tmp_path, "s"], check=True)
    tar(tmp_path / "t" / "empty.tar", {})
    (tmp_path / "t" / "nothing.tar").touch()
    listing = listed(tmp_path / "t")
    assert faults(listing) == {"x.tar/s/hole.jpg": SPARSE}
    assert listing.class_names == ["s"]
    assert listing.note.endswith("; 1 link in the tars not read; tars without a file: empty.tar, nothing.tar")
    glance(open_source(str(tmp_path / "t")))
    (tmp_path / "t" / "x.tar").unlink()
    with pytest.raises(UserError, match="holds no samples"):
        listed(tmp_path / "t")


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz"])
def test_compressed_tars_are_refused_with_what_to_do(program: str, tmp_path: Path):
    if (compress := shutil.which(program)) is None:
        pytest.skip(f"needs {program}")
    path = tar(tmp_path / "x.tar", {"1.jpg": pixels()})
    subprocess.run([compress, path], check=True)
    (packed,) = tmp_path.iterdir()
    for place in (packed, tmp_path):
        with pytest.raises(UserError, match=rf"is compressed \({program}\), .* unpack it to a plain .tar"):
            open_source(str(place))
    packed.rename(path)
    for action in (lambda: listed(path), lambda: glance(open_source(str(tmp_path)))):
        with pytest.raises(UserError, match=rf"x.tar: is compressed \({program}\)"):
            action()


def test_what_holds_no_images_is_refused(tmp_path: Path):
    outer = tar(tmp_path / "outer.tar", {"n01.tar": b"x", "n02.tar": b"y"})
    for action in (lambda: listed(outer), lambda: glance(open_source(str(outer)))):
        with pytest.raises(UserError, match=r"outer.tar: a tar of tars, not of images \(n01.tar, n02.tar\): unpack it"):
            action()
    arrays = tar(tmp_path / "a" / "arrays.tar", {"1.npy": b"x", "1.cls": "0"})
    with pytest.raises(UserError, match=r"no image in the tars; expected .*; found 1 such as 1.npy"):
        listed(arrays)
    unlabelled = tar(tmp_path / "b" / "x.tar", {"1.jpg": pixels(), "2.cls": "a"})
    with pytest.raises(UserError, match=r"none of 2 samples can .*, such as x\.tar/1\.jpg: no \.cls in the sample"):
        listed(unlabelled)


@pytest.mark.parametrize(
    ("others", "kind"),
    [
        (["0.parquet", "0_stats.json", "wids.json", "README"], WebDatasetSource),  # as img2dataset leaves them
        (["deep/_1.tar", "deep/1.json", "_tmp/a.jpg", ".git/HEAD"], WebDatasetSource),
        (["cat/1.jpg"], FolderSource),
        (["cat/1"], FolderSource),
    ],
)
def test_tars_go_before_what_lies_beside_them_but_for_images(others: list[str], kind: type, tmp_path: Path):
    tar(tmp_path / "0.tar", {"1.jpg": pixels()})
    for name in others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith(".tar"):
            tar(tmp_path / name, {"1.jpg": pixels()})
        else:
            (tmp_path / name).write_bytes(b"x")
    source = open_source(str(tmp_path))
    assert type(source) is kind
    if isinstance(source, WebDatasetSource):
        assert len(source.list()) == 1 + ("deep/_1.tar" in others)


def test_options_of_others_are_refused(shards: Path, photos: Path):
    with pytest.raises(UserError, match="is not Parquet; --image-column 'x' cannot be used with it"):
        open_source(str(shards), image_column="x")
    with pytest.raises(UserError, match="is no WebDataset tar; --label-field 'id' cannot be used with it"):
        open_source(str(photos), label_field="id")


def test_splits_by_the_names_of_the_tars(shards: Path):
    tar(shards / "test-000000.tar", {"1.jpg": pixels(), "1.cls": "0"})
    source = open_source(str(shards))
    assert (source.split, source.splits, len(source.list())) == ("train", ("train", "test"), 8)
    assert len(listed(shards, split="test")) == 1


def test_an_output_must_lie_apart_from_the_tars_of_a_pattern(tmp_path: Path):
    shards = tmp_path / "shards"
    for pattern in ("*.tar", "{a,b}.tar", "x/*.tar", "**/*.tar"):
        read = {"input": str(shards / pattern)}
        for output in (tmp_path, shards):
            with pytest.raises(UserError, match="one lies in the other"):
                keep_apart(str(output), read)
        keep_apart(str(tmp_path / "elsewhere"), read)
    keep_apart(str(shards / "out"), {"input": str(shards / "*.tar")})
    keep_apart(str(shards / "out"), {"input": str(shards / "x" / "*.tar")})
    for output, pattern in (("x", "x/*.tar"), ("x/y", "*/*/*.tar"), ("y/out", "**/*.tar"), ("a.tar", "{a,b}.tar")):
        with pytest.raises(UserError, match="one lies in the other"):
            keep_apart(str(shards / output), {"input": str(shards / pattern)})


def test_our_own_output_is_read_as_such_and_its_tars_alone_as_any(outputs: Path, tmp_path: Path):
    own = outputs / "webdataset"
    source = open_source(str(own))
    assert isinstance(source, OutputSource)
    alone = listed(own / "data")
    assert len(alone) == len(source.list())
    assert sorted(alone.labels()) == sorted(source.list().labels())


def test_tars_in_a_bucket_are_read_by_ranges(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = open_store(bucket)
    for shard in range(3):
        files = {
            f"{n:04}.{end}": pixels(n) if end == "jpg" else str(n % 3) for n in range(100) for end in ("cls", "jpg")
        }
        store.write(f"in/train-{shard:06}.tar", tar(tmp_path / f"train-{shard:06}.tar", files).read_bytes())
        store.write(f"in/train-{shard:06}.parquet", b"as img2dataset leaves it")
    asked = []
    fetch = type(store.filesystem).fetch
    monkeypatch.setattr(
        type(store.filesystem),
        "fetch",
        lambda self, *place, **more: (asked.append(place), fetch(self, *place, **more))[1],
    )
    local = images(open_source(f"{tmp_path}/train-*.tar"))
    for uri in (join(bucket, "in"), join(bucket, "in", "train-{000000..000002}.tar"), join(bucket, "in", "*.tar")):
        asked.clear()
        source = open_source(uri)
        listing = source.list()
        assert len(asked) == 3, "one request a tar"
        assert dict(zip(listing.table["key"].to_pylist(), source.read(listing.table), strict=True)) == local
        assert len(asked) == 6
        assert listing.class_names == ["0", "1", "2"]
    with pytest.raises(UserError, match=r"1 of 4 files are not there: train-000003\.tar"):
        listed(join(bucket, "in", "train-{000000..000003}.tar"))
    store.write("empty.tar", tar(tmp_path / "empty.tar", {"1.jpg": b"", "2.jpg": pixels()}).read_bytes())
    assert list(images(open_source(join(bucket, "empty.tar"))).values()) == [b"", pixels()]
    keep_apart(join(bucket, "out"), {"input": join(bucket, "*.tar")})
    with pytest.raises(UserError, match="one lies in the other"):
        keep_apart(join(bucket, "in"), {"input": join(bucket, "in", "*.tar")})
    assert decode(next(iter(local.values()))).rgb.shape == (8, 8, 3)


def test_a_tar_that_cannot_be_read_is_one_line(shards: Path, monkeypatch: pytest.MonkeyPatch):
    source = open_source(str(shards))

    def read_range(self: LocalStore, name: str, start: int, count: int) -> bytes:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(LocalStore, "read_range", read_range)
    for action in (source.list, lambda: glance(source)):
        with pytest.raises(UserError, match=r"shards/train-000000.tar: cannot be read: .*Permission denied"):
            action()
