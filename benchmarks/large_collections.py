"""Collections of WebFace's and ImageNet's shapes, protected end to end from a real object store.

    python benchmarks/large_collections.py --data data --work /tmp/large-collections --output out/collections.json

``--data``: a folder with ``lfw20/train.parquet`` (faces), ``tiny-imagenet10/train.parquet`` and ``photos/`` (large
JPEGs). Of these are made, by seed:

- webface: a record file of so many identities with JPEGs of 112x112, as CASIA-WebFace is handed round;
- imagenet: WebDataset tars of a thousand classes with JPEGs of about 400x350.

Both are put into a local S3 server (SeaweedFS) and protected, class-wise, by the command as a user types it; then
again, killed after two fifths of that time and resumed. Each output is verified against its input. Beside it a bare
loop over the same store: read, decode, add, encode, write, a process a core. Recorded: seconds and images/s, the
largest memory of each kind of process, the bytes that the store sent as a multiple of the input's, the listing's
seconds and memory. Linux.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import tyro
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.processes import Watch, end
from benchmarks.reliability.jobs import PATIENCE, circumstances, write
from tests.storage.conftest import free_ports, running_store
from ue_ray.images.codec import decode, encode
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs.open_source import open_source

SECRETS = {"AWS_ACCESS_KEY_ID": "uekey", "AWS_SECRET_ACCESS_KEY": "uesecret", "AWS_REGION": "us-east-1"}
BUCKET = "s3://collections"
RECORD_MAGIC = 0xCED7230A
A_TAR = 1000  # images
LEVELS = 8
SPREAD = 0.8  # standard deviation of the logarithm of an identity's number of images
WEAK = 3  # the status of a run that is committed, though its own check doubts the noise


@dataclass(frozen=True)
class Collections:
    """What to measure."""

    data: str
    work: str
    """A folder for what is made and for the store; what is made stays there."""
    output: str
    shapes: tuple[str, ...] = ("webface", "imagenet")
    identities: int = 10_575
    faces: int = 200_000
    classes: int = 1000
    photos: int = 100_000
    bare: int = 4000
    """images of the bare loop"""
    encoding: str = "png"


# What is made: written by the formats' own rules, not by the package.


def make_webface(options: Collections, folder: Path) -> None:
    """``train.rec``, ``train.idx``, ``property``: record 0 says where images end and the identities' ranges begin."""
    people = images_by_label(Path(options.data, "lfw20/train.parquet"))
    shares = np.random.default_rng(5).lognormal(0, SPREAD, options.identities).cumsum()  # some are photographed more
    owners = np.searchsorted(shares / shares[-1], (np.arange(options.faces) + 0.5) / options.faces)  # neighbours
    with (
        multiprocessing.Pool(initializer=partial(remember, people=people)) as pool,
        (folder / "train.rec").open("wb") as records,
        (folder / "train.idx").open("w") as index,
    ):

        def write(key: int, content: bytes) -> None:
            index.write(f"{key}\t{records.tell()}\n")
            records.write(struct.pack("<II", RECORD_MAGIC, len(content)) + content + b"\0" * (-len(content) % 4))

        last = options.faces + 1
        write(0, struct.pack("<IfQQ", 2, 0.0, 0, 0) + struct.pack("<ff", last, last + options.identities))
        jobs = ((int(owner), number) for number, owner in enumerate(owners))
        for key, (owner, jpeg) in enumerate(pool.imap(face, jobs, 256), 1):
            write(key, struct.pack("<IfQQ", 0, float(owner), key, 0) + jpeg)
        for owner in range(options.identities):
            first, stop = (int(np.searchsorted(owners, owner, side)) + 1 for side in ("left", "right"))
            write(last + owner, struct.pack("<IfQQ", 2, 0.0, last + owner, 0) + struct.pack("<ff", first, stop))
    (folder / "property").write_text(f"{options.identities},112,112")


def make_imagenet(options: Collections, folder: Path) -> None:
    """``imagenet-train-000000.tar`` and so on: a JPEG and a ``.cls`` each sample, in an order that mixes classes."""
    photos = [reduced(path) for path in sorted(Path(options.data, "photos").glob("*.jpg"))]
    classes = images_by_label(Path(options.data, "tiny-imagenet10/train.parquet"))
    labels = np.random.default_rng(0).permutation(np.arange(options.photos) % options.classes)
    with multiprocessing.Pool(initializer=partial(remember, photos=photos, classes=classes)) as pool:
        made = pool.imap(photo, ((int(label), number) for number, label in enumerate(labels)), 64)
        for start in range(0, options.photos, A_TAR):
            with tarfile.open(folder / f"imagenet-train-{start // A_TAR:06}.tar", "w") as tar:
                for number in range(start, min(options.photos, start + A_TAR)):
                    label, jpeg = next(made)
                    for ending, content in (("jpg", jpeg), ("cls", str(label).encode())):
                        member = tarfile.TarInfo(f"{number:08}.{ending}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))


def reduced(path: Path) -> np.ndarray:
    """A photo of at most 2000 pixels a side: cuts of it are made many times, and a fifth of a side is enough."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((2000, 2000))
    return np.asarray(image)


BASES: dict[str, Any] = {}  # of a process that makes images


def remember(**images: Any) -> None:
    BASES.update(images)


def images_by_label(place: Path) -> list[list[np.ndarray]]:
    """uint8 [H,W,3] each, of each label."""
    table = pq.read_table(place)
    found: dict[int, list[np.ndarray]] = {}
    for image, label in zip(table["image"].to_pylist(), table["label"].to_pylist(), strict=True):
        found.setdefault(label, []).append(np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("RGB")))
    return [found[label] for label in sorted(found)]


def face(job: tuple[int, int]) -> tuple[int, bytes]:
    """An identity has the photos of one of LFW's people, in a tint of its own."""
    owner, number = job
    own, each = np.random.default_rng([1, owner]), np.random.default_rng([2, number])
    photos = BASES["people"][owner % len(BASES["people"])]
    return owner, cut(photos[int(each.integers(len(photos)))], own, each, (112, 112), least=0.6)


def photo(job: tuple[int, int]) -> tuple[int, bytes]:
    """A class has the images of one of ImageNet's; their detail, which 64 pixels do not hold, is that of any photo."""
    label, number = job
    own, each = np.random.default_rng([3, label]), np.random.default_rng([4, number])
    size = int(each.integers(350, 451)), int(each.integers(300, 401))
    images, photos = BASES["classes"][label % len(BASES["classes"])], BASES["photos"]
    detail = cut_of(photos[int(each.integers(len(photos)))], each, size, least=0.2)
    seen = Image.fromarray(images[int(each.integers(len(images)))]).resize(size, Image.Resampling.BICUBIC)
    return label, cut(np.asarray(Image.blend(seen, detail, 0.4)), own, each, size, least=0.8)


def cut_of(base: np.ndarray, each: np.random.Generator, size: tuple[int, int], least: float) -> Image.Image:
    """A part of ``base`` of at least so much of each side, at ``size``."""
    height, width = base.shape[:2]
    tall, wide = (int(side * each.uniform(least, 1)) for side in (height, width))
    top, left = int(each.integers(height - tall + 1)), int(each.integers(width - wide + 1))
    return Image.fromarray(base[top : top + tall, left : left + wide]).resize(size, Image.Resampling.BILINEAR)


def cut(
    base: np.ndarray, own: np.random.Generator, each: np.random.Generator, size: tuple[int, int], least: float
) -> bytes:
    """The same, tinted a little by its class: JPEG."""
    tinted = np.asarray(cut_of(base, each, size, least)).astype(np.float32) * own.uniform(0.9, 1.1, 3)
    buffer = io.BytesIO()
    Image.fromarray(tinted.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=int(each.integers(88, 97)))
    return buffer.getvalue()


# The store.


@contextmanager
def store_of(folder: Path) -> Iterator[tuple[str, str]]:
    """The options of URIs in a store that keeps its data in ``folder``, and the URL of its metrics."""
    *_, port = free_ports(5)  # the store itself takes the first four
    folder.mkdir(parents=True, exist_ok=True)
    with running_store(folder, "uesecret", f"-metricsPort={port}") as address:
        yield f"?endpoint_override={address}&scheme=http&region=us-east-1", f"http://127.0.0.1:{port}/metrics"


def sent(metrics: str) -> int:
    """The bytes that the store has sent so far."""
    text = urllib.request.urlopen(metrics, timeout=10).read().decode()
    found = re.findall(r"^SeaweedFS_s3_bucket_traffic_sent_bytes_total\{[^}]*\} (\S+)$", text, re.MULTILINE)
    return int(sum(map(float, found)))


def upload(folder: Path, uri: str) -> int:
    """Puts the files of ``folder`` there; returns their bytes."""
    store, total = open_store(uri), 0
    for path in sorted(folder.iterdir()):
        store.upload(str(path), path.name)
        total += path.stat().st_size
    return total


# What is measured.


def command(name: str, **options: str) -> list[str]:
    flags = [part for option, value in options.items() for part in (f"--{option}", value)]
    return [str(Path(sys.executable).parent / "ue-ray"), name, *flags]


def run(work: Path, words: list[str], kill_after: float | None = None) -> dict[str, Any]:
    """Runs a command to its end, or kills it; returns its seconds, status, last line and the peaks in MiB."""
    environment = {
        **os.environ, **SECRETS, "RAY_TMPDIR": str(work), "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"
    }  # fmt: skip
    log, started = work / "log", time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, env=environment, start_new_session=True)
    with Watch(process.pid, every=0.5) as watch:
        try:
            status: int | None = process.wait(kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
    seconds = time.monotonic() - started
    end([entry for entry in watch.seen.values() if entry.pid != process.pid], 0 if kill_after else PATIENCE)
    said = log.read_text(errors="replace")
    shutil.rmtree(work / "ray", ignore_errors=True)
    if status not in (0, WEAK) and not kill_after:
        sys.exit(f"{' '.join(words[:2])}: {said[-2000:]}")
    lines = [line for line in re.split(r"[\r\n]+", said) if line.startswith(("check: ", "committed: ", "verified: "))]
    return {
        "seconds": round(seconds, 1), "status": status, "peak_mib": watch.peaks_mib(),
        "said": [re.sub(r"; s3://.*", "", line) for line in lines],
    }  # fmt: skip


def listing(uri: str) -> dict[str, Any]:
    """In a process of its own: seconds, and the largest resident memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, count, classes, mebibytes = pool.apply(list_there, (uri,))
    return {"seconds": round(seconds, 2), "images": count, "classes": classes, "peak_mib": mebibytes}


def list_there(uri: str) -> tuple[float, int, int, int]:
    os.environ.update(SECRETS)
    started = time.monotonic()
    found = open_source(uri).list()
    spent = time.monotonic() - started
    status = Path("/proc/self/status").read_text()  # the kernel's rusage has the peak of whoever started us in it
    peak = int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) >> 10  # type: ignore[index]
    return spent, len(found), len(found.class_names), peak


def bare(uri: str, target: str, count: int, encoding: str) -> float:
    """Images/s of as many processes as there are cores that read, decode, add, encode and write, no more."""
    workers = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        spent = pool.starmap(bare_part, [(uri, target, count, encoding, part, workers) for part in range(workers)])
    return count / max(spent)  # without start-up and listing


def bare_part(uri: str, target: str, count: int, encoding: str, part: int, parts: int) -> float:
    os.environ.update(SECRETS)
    source, store = open_source(uri), open_store(target)
    rows = source.list().table.slice(part * count // parts, (part + 1) * count // parts - part * count // parts)
    noise: dict[tuple[int, ...], np.ndarray] = {}
    started = time.monotonic()
    for first in range(0, rows.num_rows, 256):
        written = []
        for data in source.read(rows.slice(first, 256)):
            assert isinstance(data, bytes)
            image = decode(data).rgb
            if image.shape not in noise:
                noise[image.shape] = np.random.default_rng(0).integers(-LEVELS, LEVELS + 1, image.shape, np.int16)
            written.append(encode((image + noise[image.shape]).clip(0, 255).astype(np.uint8), encoding=encoding))
        store.write(f"{part}-{first}", b"".join(written))
    return time.monotonic() - started


def measure(options: Collections, shape: str, work: Path) -> dict[str, Any]:
    made = work / shape
    if not (made / "done").exists():
        shutil.rmtree(made, ignore_errors=True)
        (made / "files").mkdir(parents=True)
        {"webface": make_webface, "imagenet": make_imagenet}[shape](options, made / "files")
        (made / "done").touch()
    shutil.rmtree(work / "store", ignore_errors=True)
    with store_of(work / "store") as (where, metrics):
        os.environ.update(SECRETS)
        open_store(f"{BUCKET}{where}").filesystem.call_s3("create_bucket", Bucket=BUCKET.removeprefix("s3://"))
        size = upload(made / "files", f"{BUCKET}/{shape}{where}")
        uri = f"{BUCKET}/{shape}{where}"
        before = sent(metrics)
        result: dict[str, Any] = {"bytes": size, "listing": listing(uri)}
        result["listing"]["sent_to_input"] = round((sent(metrics) - before) / size, 3)
        print(shape, result, flush=True)
        count = result["listing"]["images"]
        result["bare_images_per_second"] = round(
            bare(uri, f"{BUCKET}/bare{where}", min(count, options.bare), options.encoding), 1
        )
        for name in ("whole", "resumed"):
            output = f"{BUCKET}/{name}{where}"
            words = command("protect", input=uri, output=output, encoding=options.encoding)
            before = sent(metrics)
            if name == "resumed":
                result["killed"] = run(work, words, kill_after=0.4 * result["whole"]["seconds"])
                words += ["--mode", "resume"]
            done = run(work, words)
            done["images_per_second"] = round(count / done["seconds"], 1)
            done["sent_to_input"] = round((sent(metrics) - before) / size, 2)
            result[name] = done
            result[f"{name}_verified"] = run(work, command("verify", output=output, input=uri))
            print(shape, name, done, flush=True)
    shutil.rmtree(work / "store", ignore_errors=True)
    return result


def main(options: Collections) -> None:
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    place = Path(options.output)
    record = json.loads(place.read_text()) if place.exists() else {}
    for shape in options.shapes:
        facts = circumstances() | {"encoding": options.encoding}  # before the run: it has the load of the machine
        record[shape] = measure(options, shape, work) | facts
        write(options.output, record)


if __name__ == "__main__":
    main(tyro.cli(Collections, description=__doc__))
