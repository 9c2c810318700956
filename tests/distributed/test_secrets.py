"""From bucket to bucket by the real commands: the output is sound, and the credentials' secret is written nowhere."""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.storage.conftest import running_store
from ue_ray.storage.filesystem import join, open_store, read_bytes, write_bytes
from ue_ray.storage.outputs.output import Output

ROOT = Path(__file__).parents[2]
UNPICKLES = re.compile(r"(torch|np|numpy)\.(load|save)|(pickle|cloudpickle|ray\.cloudpickle|joblib|dill|shelve)(\..*)?")

# The pipelines as they are, in one Ray, until one fails; then what Ray's control store holds: exported functions, jobs
# and their runtime environments.
RUN = """
import json, runpy, sys
import ray
from ray.experimental import internal_kv

kept, commands = sys.argv[1], json.loads(sys.argv[2])
ray.init(address="local", include_dashboard=False, log_to_driver=False)  # a command leaves this one as it is
for sys.argv in commands:
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code not in (0, 3):  # 3: so few rounds leave the noise weak
            sys.exit(ended.code)
with open(kept, "wb") as file:
    for space in (None, b"fun", b"job", b"session", b"cluster"):
        for key in internal_kv._internal_kv_list(b"", namespace=space):
            file.write(key + b" " + (internal_kv._internal_kv_get(key, namespace=space) or b""))
    file.write(repr(ray._private.state.state.job_table()).encode())
"""


@dataclass
class Bench:
    """A store, credentials whose secret is ``canary``, and a place that all files of the commands go to."""

    bucket: str
    canary: str
    place: Path
    seen: dict[str, bytes] = field(default_factory=dict)

    def run(self, *commands: list[str]) -> tuple[int, str]:
        """The exit status of these pipelines, run in turn, and all that they said. Every object there was meanwhile
        goes to ``seen``."""
        full = [[str(ROOT / "pipelines" / script), *arguments] for script, *arguments in commands]
        process = [sys.executable, "-c", RUN, str(self.place / "kv"), json.dumps(full)]
        environment = {**os.environ, "RAY_TMPDIR": str(self.place), "TMPDIR": str(self.place), "PYTHONPATH": str(ROOT)}
        said = self.place / "said.txt"
        with said.open("w") as file, subprocess.Popen(process, stdout=file, stderr=file, env=environment) as running:
            while running.poll() is None:
                self.look()
                with suppress(subprocess.TimeoutExpired):
                    running.wait(0.5)
        self.look()
        return running.returncode, said.read_text()

    def look(self) -> None:
        new = [
            name.decode()
            for name, _ in open_store(self.bucket).walk()
            if name.decode() not in self.seen and not name.startswith(b"in/")
        ]
        with ThreadPoolExecutor(8) as pool:
            for name, data in zip(new, pool.map(self._read, new), strict=True):
                if data is not None:
                    self.seen[name] = data

    def _read(self, name: str) -> bytes | None:
        try:
            return read_bytes(join(self.bucket, name))
        except FileNotFoundError:  # gone since it was listed
            return None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    canary = f"canary{secrets.token_hex(17)}"
    place = Path(tempfile.mkdtemp(prefix="ue-", dir="/tmp"))  # short: socket paths have a limit of 107 characters
    with running_store(tmp_path_factory.mktemp("store"), canary) as address, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "RAY_"))]:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", "uekey")
        patch.setenv("AWS_SECRET_ACCESS_KEY", canary)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        bucket = f"s3://photos?endpoint_override={address}&scheme=http&region=us-east-1"
        open_store(bucket).filesystem.call_s3("create_bucket", Bucket="photos")
        put_photos(join(bucket, "in"))
        yield Bench(bucket, canary, place)
    shutil.rmtree(place, ignore_errors=True)


def put_photos(uri: str) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(buffer, "PNG")
        write_bytes(join(uri, ("ada", "bob")[number % 2], f"{number}.png"), buffer.getvalue())
    write_bytes(join(uri, "ada", "notes.txt"), b"no image")


def spellings(secret: str) -> list[bytes]:
    """The secret as it is, as UTF-16 and hex, and what is sure of it in base64 wherever it begins."""
    data = secret.encode()
    found = [data, secret.encode("utf-16-le"), data.hex().encode()]
    for before in range(3):
        coded = base64.b64encode(bytes(before) + data)
        found.append(coded[4 if before else 0 : len(coded) - 4])
    return found


def holding(files: dict[str, bytes], secret: str) -> list[str]:
    return [name for name, data in files.items() if any(text in data for text in spellings(secret))]


def unpacked(objects: dict[str, bytes]) -> dict[str, bytes]:
    """The objects and, of Parquet, what is in its compressed pages."""
    tables = {name: pq.read_table(io.BytesIO(data)) for name, data in objects.items() if name.endswith(".parquet")}
    return objects | {f"{name} (rows)": repr(table.to_pylist()).encode() for name, table in tables.items()}


def files_below(place: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file() and not path.is_symlink()}


def test_a_secret_would_be_found():
    pickled = base64.b64encode(b"credentials: x-secret-y").decode()
    files = {"plain": b"key=x-secret-y;", "coded": pickled.encode(), "clean": b"nothing"}
    assert holding(files, "x-secret-y") == ["plain", "coded"]


@pytest.mark.ray
def test_from_bucket_to_bucket_without_a_trace_of_the_secret(bench: Bench):
    photos, output, report = (join(bench.bucket, name) for name in ("in", "out", "report"))
    protect = ["protect_dataset.py", "--input", photos, "--output", output, "--format", "webdataset"]
    protect += ["--surrogate", "resnet9", "--max-rounds", "2", "--weight-steps", "2", "--data-fraction", "1"]
    verify = ["verify_output.py", "--output", output, "--input", photos]
    evaluate = ["evaluate_victims.py", "--clean", photos, "--protected", output, "--test", photos]
    evaluate += ["--output", report, "--victims", "resnet9", "--epochs", "1", "--controls", ""]
    status, said = bench.run(protect, verify, evaluate)
    assert status == 0, said
    assert "committed: 40 protected + 1 rejected = 41 inputs" in said
    assert re.search(r"verified: 41 samples in 2 files, largest change of a pixel [1-8]/255: no fault", said)
    assert "report: s3://photos/report/report.html?" in said
    assert Output(output).is_committed()

    names = set(bench.seen)
    assert {"out/_work/run.json", "out/_work/craft/latest.json", "out/manifest.json", "out/_SUCCESS"} <= names
    assert any(name.startswith("out/_work/craft/round-") for name in names)  # a checkpoint
    assert {"report/results.json", "report/report.html", "out/noise/card.json"} <= names
    assert holding(unpacked(bench.seen), bench.canary) == []

    local = files_below(bench.place)
    assert sum("/logs/" in name for name in local) > 10  # of the Ray session
    assert len(local[str(bench.place / "kv")]) > 10_000  # exported functions, of all kinds
    assert holding(local, bench.canary) == []

    state = [name for name in names if name.startswith(("out/noise/", "out/_work/craft/"))]
    assert {Path(name).suffix for name in state} == {".json", ".safetensors"}
    assert [name for name in names if is_pickle(bench.seen[name])] == []


def is_pickle(data: bytes) -> bool:
    """Whether an object begins as a pickle does, or as the zip file that torch.save makes."""
    return data[:1] == b"\x80" or data[:4] == b"PK\x03\x04"


def test_nothing_of_ours_unpickles():
    """What a file holds is never run: no pickle, no torch.load, no numpy.load."""
    found = []
    for path in [*(ROOT / "ue_ray").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names = [f"{node.value.id}.{node.attr}"]
            found += [f"{path.name}:{node.lineno}: {name}" for name in names if UNPICKLES.fullmatch(name)]
    assert found == []
