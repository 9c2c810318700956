"""A store where one request in ten fails: does a whole run still lose nothing? And how soon does a hopeless one end?

    python benchmarks/reliability/faulty_store.py --work /tmp/ue-faulty \
        --output benchmarks/results/reliability/faulty_store.json

A real store (SeaweedFS) with over 2,000 objects; between it and the command a proxy that answers one request in ten
with 503 SlowDown, a reset, a short read or a stall (``tests/storage/faulty_proxy.py``). Input and output are behind it.
One run applies random noise, one crafts too, checkpoints and all. Afterwards the output is verified without the
proxy. Before that, three that cannot work: a wrong secret, a bucket that is not there, and an
output that these credentials may not write. Linux.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.reliability.jobs import Job, circumstances, faults, outcome, parser, write
from tests.storage.conftest import running_store
from tests.storage.faulty_proxy import FaultyProxy
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.output import Output

LIMIT = 1500  # seconds
SECRETS = {"AWS_ACCESS_KEY_ID": "uekey", "AWS_SECRET_ACCESS_KEY": "uesecret", "AWS_REGION": "us-east-1"}
BUCKET = "s3://faulty"
WAYS = {
    "random noise": ["--method", "random"],
    "crafted": ["--surrogate", "resnet9", "--max-rounds", "3", "--weight-steps", "3"],
}


def fill(count: int) -> None:
    """Digits at ``in/LABEL/...``, one file in a hundred cut in half."""
    store = open_store(BUCKET)
    source = open_source("mnist5k")
    table = source.list().table
    rows = table.take(np.linspace(0, len(table) - 1, count).astype(int))
    files = zip(rows["label"].to_pylist(), source.read(rows), strict=True)

    def put(numbered: tuple[int, tuple[int, Any]]) -> None:
        number, (label, data) = numbered
        body = data[: len(data) // 2] if number % 100 == 99 else data
        store.write(f"in/{label}/{number:05} \u00e9?.png", body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, enumerate(files)))


def at(address: str) -> dict[str, str]:
    return {**SECRETS, "AWS_ENDPOINT_URL_S3": f"http://{address}"}


def faulty_run(work: Path, way: str, store: str, probability: float, seed: int) -> dict[str, Any]:
    output = f"{BUCKET}/out-{way.replace(' ', '-')}"
    arguments = ["--input", f"{BUCKET}/in", "--output", output, "--mode", "overwrite", *WAYS[way]]
    with FaultyProxy(store, probability, seed) as proxy:
        patience = {"UE_RAY_REQUEST_TIMEOUT_S": "2"}
        done = Job(work, arguments, {**at(proxy.address), **patience}).run(LIMIT)
        injected, requests = dict(proxy.injected), proxy.requests
    row: dict[str, Any] = {
        "run": way,
        "status": done.status,
        "requests": requests,
        "injected": injected,
        "seconds": round(done.seconds, 1),
        "traceback": "Traceback" in done.said,
    }
    if done.status != 0:
        return row | {"said": done.last_line}
    os.environ.update(at(store))
    manifest = Output(output).manifest()
    listed = set(open_source(f"{BUCKET}/in").list().table["sample_id"].to_pylist())
    ids = [name for name, _ in outcome(output)]
    row |= {name: manifest[name] for name in ("inputs", "protected", "rejected", "rejected_reasons")}
    row["lost"] = len(listed - set(ids))
    row["doubled"] = len(ids) - len(set(ids))
    row["faults"] = faults(output, f"{BUCKET}/in")
    return row


def hopeless_run(work: Path, what: str, store: str) -> dict[str, Any]:
    """A run that cannot work. It is run twice and the second counts: the first brings what it imports into memory."""
    environment = at(store)
    arguments = ["--input", f"{BUCKET}/in", "--output", str(work / "nothing"), "--method", "random"]
    if what == "wrong secret":
        environment["AWS_SECRET_ACCESS_KEY"] = "not-the-secret"
    elif what == "missing bucket":
        arguments[1] = "s3://there-is-no-such-bucket/in"
    else:
        environment["AWS_ACCESS_KEY_ID"] = "reader"
        arguments[3] = f"{BUCKET}/nothing"
    for _ in range(2):
        done = Job(work, arguments, environment).run(LIMIT)
    errors = [line for line in done.said.splitlines() if line.startswith("error: ")]
    return {
        "run": what,
        "status": done.status,
        "errors": errors,
        "traceback": "Traceback" in done.said,
        "seconds": round(done.seconds, 1),
        "cpu_seconds": round(done.cpu_seconds, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    command_line = parser(__doc__)
    command_line.add_argument("--objects", type=int, default=2200)
    command_line.add_argument("--probability", type=float, default=0.1)
    command_line.add_argument("--seed", type=int, default=0)
    options = command_line.parse_args()
    work = Path(options.work)
    shutil.rmtree(work, ignore_errors=True)
    (work / "store").mkdir(parents=True)
    started = time.monotonic()
    result: dict[str, Any] = {**circumstances(), "probability": options.probability, "seed": options.seed, "runs": []}

    def add(row: dict[str, Any]) -> None:
        result["runs"].append(row)
        result["seconds"] = round(time.monotonic() - started, 1)
        print({name: value for name, value in row.items() if name != "rejected_reasons"}, flush=True)
        write(options.output, result)

    with running_store(work / "store", "uesecret") as store:
        os.environ.update(at(store))
        open_store(BUCKET).filesystem.call_s3("create_bucket", Bucket=BUCKET.removeprefix("s3://"))
        fill(options.objects)
        result["n"] = len(open_source(f"{BUCKET}/in").list())
        for what in ("wrong secret", "missing bucket", "output that may not be written"):
            add(hopeless_run(work, what, store))
        for way in WAYS:
            add(faulty_run(work, way, store, options.probability, options.seed))
    hopeless, faulty = result["runs"][:3], result["runs"][3:]
    told = all(
        row["status"] == 2 and len(row["errors"]) == 1 and not row["traceback"] and row["seconds"] < 10
        for row in hopeless
    )
    whole = all(row["status"] == 0 and not (row["lost"] or row["doubled"] or row["faults"]) for row in faulty)
    print(f"hopeless runs end with one line within 10 s: {told}; faulty runs lose nothing: {whole}")
    sys.exit(not (told and whole))


if __name__ == "__main__":
    main()
