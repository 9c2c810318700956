"""200 keys as an enemy would write them, through the real command in every format: is anything written outside?

    python benchmarks/reliability/hostile_keys.py --work /tmp/ue-keys/work \
        --output benchmarks/results/reliability/hostile_keys.json

The keys (``tests/storage/hostile.py``) come three ways: from a server that lists and serves every one of them to the
letter, to an output on the local disk; from a real store (SeaweedFS), as far as it takes them, to an output in the same
bucket; and as local files, as far as the file system takes them, beside a Parquet file that has them as classes and as
sample_ids. Everything around the output is listed before and after: content, sizes, times. Linux.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability.jobs import ROOT, Job, circumstances, faults, parser, write
from tests.storage.conftest import running_store
from tests.storage.hostile import hostile_keys
from ue_ray.images.codec import encode
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.outputs.formats import FORMATS
from ue_ray.storage.outputs.output import Output

LIMIT = 600  # seconds
OURS = ("out", "ray", "log")  # below the work folder: where the run may write


def image(number: int) -> bytes:
    return encode(np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8))


def around(work: Path) -> dict[str, tuple]:
    """What a write could hit on a relative or absolute way out, but for what the run owns: what each file is."""
    found: dict[str, tuple] = {}
    for place in (work, ROOT / "ue_ray", ROOT / "pipelines"):
        for folder, folders, files in os.walk(place):
            if folder == str(work):
                folders[:] = [name for name in folders if name not in OURS]
                files = [name for name in files if name not in OURS]
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in (*folders, *files):
                status = os.lstat(f"{folder}/{name}")
                found[f"{folder}/{name}"] = (status.st_mode, status.st_ino)
                if not stat.S_ISDIR(status.st_mode):
                    found[f"{folder}/{name}"] += (status.st_size, status.st_mtime_ns)
    for folder in ("/", "/etc", str(Path.home()), str(work.parent)):  # where others may be writing too: names only
        for name in os.listdir(folder):
            found[f"{folder}/{name}"] = ()
    for name in ("/etc/passwd", "/etc/hosts"):
        status = os.stat(name)
        found[f"{name} itself"] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def around_in_bucket(bucket: str) -> dict[str, tuple]:
    """Every object of the bucket that is not below ``out/``."""
    found = ((key.decode("utf-8", "surrogateescape"), size) for key, size in open_store(bucket).walk())
    return {key: (size,) for key, size in found if not key.startswith("out/")}


def bad_names(output: Path) -> list[str]:
    """What lies in a local output and leads out of it, or would when a tar is unpacked."""
    bad = []
    for folder, folders, files in os.walk(output):
        bad += [f"{folder}/{name}" for name in (*folders, *files) if os.path.islink(f"{folder}/{name}")]
        for name in files:
            if name.endswith(".tar"):
                with tarfile.open(f"{folder}/{name}") as tar:
                    for member in tar:
                        try:
                            tarfile.data_filter(member, "/nowhere")
                            assert member.isreg()
                        except (tarfile.FilterError, AssertionError):
                            bad.append(f"{name}: {member.name!r}")
    return bad


@contextmanager
def server_of(keys: list[str]) -> Iterator[str]:
    """A store that holds an image at each of ``bucket/in/KEY``, to the letter. Yields its address."""
    wanted = {f"/bucket/{quote(f'in/{key}', safe='/~')}": image(number) for number, key in enumerate(keys)}

    def listing(folded: bool) -> bytes:
        """All of ``in/``; ``folded``: what lies deeper as one prefix a folder."""
        deeper = {key.partition("/")[0] for key in keys if folded and "/" in key}
        entries = "".join(
            f"<Contents><Key>{quote(f'in/{key}')}</Key><Size>{len(data)}</Size></Contents>"
            for key, data in zip(keys, wanted.values(), strict=True)
            if not (folded and "/" in key)
        )
        entries += "".join(
            f"<CommonPrefixes><Prefix>{quote(f'in/{name}/')}</Prefix></CommonPrefixes>" for name in deeper
        )
        start = f"<EncodingType>url</EncodingType><KeyCount>{len(keys)}</KeyCount>"
        return f"<ListBucketResult>{start}{entries}</ListBucketResult>".encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "list-type=2" in self.path:
                self._answer(200, listing(folded="delimiter=" in self.path))
            elif self.path in wanted:
                self._answer(200, wanted[self.path])
            else:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

        do_HEAD = do_GET

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def put(bucket: str, keys: list[str]) -> int:
    """Put an image at each of ``in/KEY``; returns how many the store took."""
    store = open_store(bucket)
    for number, key in enumerate(keys):
        try:
            store.write(f"in/{key}", image(number))
        except OSError:
            continue
    return sum(key.startswith("in/") for key in around_in_bucket(bucket))


def make_local(root: Path, keys: list[str]) -> int:
    """A file at each key that stays inside ``root`` and that the file system takes; returns how many there are."""
    count = 0
    for number, key in enumerate(keys):
        path = os.path.normpath(f"{root}/{key}")
        if "\0" in key or not path.startswith(f"{root}/"):
            continue
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                file.write(image(number))
            count += 1
        except OSError:  # too long, or another key's folder
            continue
    return count


def make_parquet(path: Path, keys: list[str]) -> int:
    """Each key as a sample_id; the keys by turns as classes too."""
    names = [key for key in keys if "\0" not in key]
    table = pa.table(
        {
            "image": [image(number) for number in range(len(names))],
            "label": [names[number % 60] for number in range(len(names))],
            "sample_id": names,
        }
    )
    pq.write_table(table, path)
    return len(names)


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--keys", type=int, default=200)
    command_line.add_argument("--seed", type=int, default=0)
    options = command_line.parse_args()
    work = Path(options.work)
    shutil.rmtree(work, ignore_errors=True)
    (work / "store").mkdir(parents=True)
    keys = hostile_keys(options.keys, options.seed)
    started = time.monotonic()
    result: dict[str, Any] = {**circumstances(), "seed": options.seed, "n": len(keys), "runs": []}
    bucket = "s3://keys"
    secrets = {"AWS_ACCESS_KEY_ID": "uekey", "AWS_SECRET_ACCESS_KEY": "uesecret", "AWS_REGION": "us-east-1"}
    os.environ.update(secrets)
    make_local(work / "in", keys)
    make_parquet(work / "in.parquet", keys)

    def run(way: str, format: str, source: str, output: str, look: Callable[[], dict[str, tuple]], inputs: int) -> None:
        shutil.rmtree(work / "out", ignore_errors=True)
        before = look()
        arguments = ["--input", source, "--output", output, "--format", format, "--method", "random"]
        done = Job(work, [*arguments, "--mode", "overwrite"]).run(LIMIT)
        after = look()
        outside = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        row: dict[str, Any] = {"way": way, "format": format, "keys": inputs, "status": done.status, "outside": outside}
        if done.status == 0:
            manifest = Output(output).manifest()
            row |= {name: manifest[name] for name in ("inputs", "protected", "rejected")}
            row["leading_out"] = bad_names(Path(output)) if "://" not in output else []
            row["faults"] = faults(output, source)
        else:
            row["said"] = done.last_line
        result["runs"].append(row | {"seconds": round(done.seconds, 1)})
        print({name: value for name, value in row.items() if value not in ([], None)}, flush=True)
        result["seconds"] = round(time.monotonic() - started, 1)
        write(options.output, result)

    def here() -> dict[str, tuple]:
        return around(work)

    out = str(work / "out")
    with server_of(keys) as address:
        os.environ["AWS_ENDPOINT_URL_S3"] = f"http://{address}"
        for format in FORMATS:
            run("server", format, "s3://bucket/in", out, here, len(keys))
    local = sum(path.is_file() for path in (work / "in").rglob("*"))
    run("files", "imagefolder", str(work / "in"), out, here, local)
    run("parquet", "imagefolder", str(work / "in.parquet"), out, here, len(pq.read_table(work / "in.parquet")))
    with running_store(work / "store", "uesecret") as address:
        os.environ["AWS_ENDPOINT_URL_S3"] = f"http://{address}"
        open_store(bucket).filesystem.call_s3("create_bucket", Bucket="keys")
        taken = put(bucket, keys)
        for format in FORMATS:
            run("store", format, f"{bucket}/in", f"{bucket}/out", lambda: around_in_bucket(bucket), taken)
    runs = result["runs"]
    result["outside"] = sum(len(run["outside"]) for run in runs)
    print(f"{result['outside']} writes outside, {sum(run['status'] == 0 for run in runs)} of {len(runs)} runs finished")
    write(options.output, result)
    whole = all(run["status"] == 0 and not run["faults"] and not run["leading_out"] for run in runs)
    sys.exit(bool(result["outside"] or not whole))


if __name__ == "__main__":
    main()
