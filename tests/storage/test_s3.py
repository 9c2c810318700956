"""The storage rooms against a real S3-compatible store on this machine (the ``bucket`` of conftest.py)."""

import os
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from ue_ray.errors import ReadFailure, UserError
from ue_ray.evaluation.runs import VictimRuns
from ue_ray.images.codec import ImageError, decode
from ue_ray.storage.filesystem import join, list_names, open_store, read_bytes, remove_tree, write_bytes
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.listing import sample_id
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.formats import FORMATS
from ue_ray.storage.outputs.output import CommitError, Output
from ue_ray.storage.outputs.shards import ShardRecord, ShardWriter
from ue_ray.storage.store import OutOfReach

CARD = {"input": {"images": 300}}


def test_every_key_the_store_keeps_is_listed_and_read_to_the_letter(bucket: str):
    store = open_store(join(bucket, "in"))
    named = [
        *("1 b.png", "noextension", "x.webp", "y.jfif", "z.heic", "z.avif", ".hidden", "_underscore", "deep/er/+x=&"),
        *("what?.png", "#1", "50%25.png", "%41", "A", "new\nline", "return\rx", "tab\tx", "bell\x07x", " ", "end "),
        *("\u00e9", "e\u0301", "\U0001f600", "!$'()*,:;@[]{}|^~`<>\""),  # é, composed and not, are two names
    ]
    objects = {f"{label}/{name}": f"{label}/{name}".encode() for label in "ab" for name in named}
    outside = {"top.txt": "not inside a class folder", ".cache/x": "not inside a class folder"}
    markers = {"a/deep/": "a folder marker, not a file", "empty/": "a folder marker, not a file"}
    for key in objects | outside:
        store.write(key, key.encode())
    for key in markers:
        store.write(key, b"")
    open_store(bucket).write("in/", b"")
    source = open_source(join(bucket, "in"))
    listing = source.list()
    assert listing.class_names == ["a", "b"]
    keys = listing.table["key"].to_pylist()
    assert keys == sorted(objects | outside | markers, key=str.encode)
    found = dict(zip(keys, source.read(listing.table), strict=True))
    assert found == objects | {key: ReadFailure(reason) for key, reason in (outside | markers).items()}


class Recorder(BaseHTTPRequestHandler):
    """A store of keys that the real one renames or refuses: answers each GET with the path that was asked for."""

    keys = ("a//b", "a/./c", "a/../d", "/e", "b/f//", "b/\\")

    def do_GET(self) -> None:
        if "list-type=2" in self.path:
            contents = "".join(f"<Contents><Key>in/{quote(key)}</Key><Size>9</Size></Contents>" for key in self.keys)
            body = f"<ListBucketResult><EncodingType>url</EncodingType>{contents}</ListBucketResult>".encode()
        else:
            body = unquote(self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_keys_with_empty_and_dotted_segments_are_asked_for_as_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "uekey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "uesecret")
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = FolderSource(f"s3://bucket/in?endpoint_override=127.0.0.1:{server.server_port}&scheme=http")
        rows = source.list().table
        found = dict(zip(rows["key"].to_pylist(), source.read(rows), strict=True))
        server.shutdown()
    no_class = {"/e": ReadFailure("not inside a class folder")}
    assert found == {key: f"/bucket/in/{key}".encode() for key in Recorder.keys} | no_class


def test_a_listing_goes_over_pages(bucket: str):
    store = open_store(join(bucket, "in"))
    names = [f"{label}/{n}" for n in range(600) for label in "ab"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.write(name, b"x"), names))
    assert open_source(join(bucket, "in")).list().table["key"].to_pylist() == sorted(names)
    remove_tree(join(bucket, "in"))
    assert list(store.walk()) == []


def test_endpoint_and_region_come_from_the_environment(bucket: str, store: str, monkeypatch: pytest.MonkeyPatch):
    bare = bucket.partition("?")[0]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{store}")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    write_bytes(join(bare, "in", "x"), b"x")
    there = open_store(join(bare, "in", "x"))
    assert there.filesystem.s3.meta.region_name == "eu-west-1"
    assert there.info().size == 1
    assert there.read() == b"x"
    assert read_bytes(join(bucket, "in", "x")) == b"x"


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_no_secret_in_a_pickle_or_an_error(
    variable: str, bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    write_bytes(join(bucket, "in", "a", "1"), b"x")
    write_bytes(join(bucket, "in", "b", "2"), b"x")
    source = open_source(join(bucket, "in"))
    listing = source.list()
    canary = "canary/" + "7" * 33
    monkeypatch.setenv(variable, canary)
    there = open_store(join(bucket, "in"))
    filesystem = there.filesystem
    said = [pickle.dumps(source), pickle.dumps(listing), pickle.dumps(filesystem), repr(source), repr(filesystem)]
    for attempt in (
        lambda: list(source.read(listing.table)),
        source.list,
        lambda: read_bytes(join(bucket, "in", "a", "1")),
        lambda: write_bytes(join(bucket, "x"), b""),
        there.info,
        lambda: open_source(join(bucket, "in")),
    ):
        with pytest.raises((OSError, OutOfReach, UserError)) as caught:
            attempt()
        said += ["".join(traceback.format_exception(caught.value)), pickle.dumps(caught.value)]
    said.append(caplog.text)
    assert len(said) == 18
    for text in said:
        assert canary[7:] not in (text if isinstance(text, str) else text.decode("latin-1"))
    assert pickle.loads(pickle.dumps(filesystem)).place == filesystem.place


def test_shards_are_committed_and_read_back(bucket: str):
    output = Output(join(bucket, "deep", "out"))
    output.begin("refuse", CARD)
    images = {f"id{row}": os.urandom(40_000) for row in range(300)}  # more than one part of a multipart upload
    with ShardWriter(output.uri, 0, ["cat", "dog"]) as writer:
        for row, (name, data) in enumerate(images.items()):
            writer.add_protected(name, data, "x", row % 2)
        with pytest.raises(CommitError):
            output.commit(300, [], {})
    assert not output.is_committed()
    output.commit(300, [writer.close()], {"note": "é", "class_names": ["cat", "dog"]})
    assert output.manifest()["note"] == "é"
    source = open_source(output.uri)
    table = source.list().table
    assert dict(zip(table["sample_id"].to_pylist(), source.read(table), strict=True)) == images
    with pytest.raises(UserError, match="holds a committed output"):
        Output(output.uri).begin("refuse", CARD)


def test_images_keep_their_names_in_a_bucket(bucket: str):
    """Those that patterns, URLs or shells would take for something else too."""
    names = [
        "a [1].png",
        "[ab].png",
        "x#y.png",
        "100%25.png",
        "写真 (1).png",
        "a+b&c=d;e.png",
        "~x {y}.png",
        "!$'`.png",
    ]
    uri, keys = join(bucket, "out"), [f"cat/My Photos [2024]/{name}" for name in names]

    def write(rejected: str) -> ShardRecord:
        with ShardWriter(uri, 0, ["cat", "dog"], "imagefolder") as writer:
            for key in keys:
                if key == rejected:
                    writer.add_rejected(sample_id(key), key, "no image", 0)
                else:
                    writer.add_protected(sample_id(key), key.encode(), key, 0)
        return writer.close()

    record, store = write(rejected=""), open_store(uri)
    assert sorted(path.decode() for path, _ in store.walk("data")) == sorted(keys)
    with store.fetched(record.files[0].name) as path:
        entries = list(FORMATS["imagefolder"].reader(uri).read(path))
    assert [entry if isinstance(entry, str) else entry.image.decode() for entry in entries] == keys
    write(rejected=keys[1])
    assert sorted(path.decode() for path, _ in store.walk("data")) == sorted({*keys} - {keys[1]})


def test_a_place_is_tried_before_the_work(bucket: str, monkeypatch: pytest.MonkeyPatch):
    uri = join(bucket, "out")
    VictimRuns(uri).check()
    VictimRuns(uri).check()  # the trial leaves nothing behind
    assert list_names(uri) == []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    for attempt in (VictimRuns(uri).check, lambda: Output(uri).check("refuse")):
        with pytest.raises(UserError, match="cannot be written"):
            attempt()


def test_a_shard_dropped_leaves_nothing(bucket: str):
    with suppress(ImageError), ShardWriter(join(bucket, "out"), 0, ["cat", "dog"]) as writer:
        writer.add_protected("id", bytes(9 << 20), "x", 0)
        decode(b"")
    assert open_store(join(bucket, "out")).info().type == fs.FileType.NotFound


def test_a_wrong_secret_is_one_line_and_no_pile_of_rejections(bucket: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("a/1", "b/2"):
        write_bytes(join(bucket, "in", name), b"x")
    assert read_bytes(join(bucket, "in", "a/1")) == b"x"
    source = open_source(join(bucket, "in"))
    rows = source.list().table
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for attempt in (lambda: open_source(join(bucket, "in")), lambda: Output(join(bucket, "out")).begin("refuse", CARD)):
        with pytest.raises(UserError, match="SignatureDoesNotMatch"):
            attempt()
    with pytest.raises(OutOfReach, match="SignatureDoesNotMatch"):
        list(source.read(rows))


@pytest.mark.parametrize(
    "marker", ["in", "in/", "in/a", "in/a/"], ids=["object-above", "folder-above", "object-below", "folder-below"]
)
@pytest.mark.parametrize("ending", ["png", "parquet"])
def test_an_empty_object_of_a_folders_name_hides_nothing(marker: str, ending: str, bucket: str):
    """Consoles of stores make such objects where somebody makes a folder."""
    call = open_store(bucket).filesystem.call_s3
    name = bucket.removeprefix("s3://").partition("?")[0]
    file = BytesIO()
    pq.write_table(pa.table({"image": [b"x", b"y"], "label": [0, 1]}), file)
    for key, data in ((marker, b""), (f"in/a/1.{ending}", file.getvalue()), (f"in/b/2.{ending}", file.getvalue())):
        call("put_object", Bucket=name, Key=key, Body=data)
    for uri in (join(bucket, "in"), join(bucket, "in", "")):
        source = open_source(uri)
        listing = source.list()
        read = [data for data in source.read(listing.table) if isinstance(data, bytes)]
        assert read == ([file.getvalue()] * 2 if ending == "png" else [b"x", b"y"] * 2)
        assert listing.class_names == (["a", "b"] if ending == "png" else ["0", "1"])
    assert marker in [entry["Key"] for entry in call("list_objects_v2", Bucket=name)["Contents"]]
