"""What the reliability benchmarks share: the command as a process, what became of its inputs, results in JSON."""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.processes import Watch, end
from ue_ray.images.codec import decode
from ue_ray.learning.machine import machine, versions
from ue_ray.protection.verify import Verification
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.outputs.formats import format_of
from ue_ray.storage.outputs.formats.base import Entry
from ue_ray.storage.outputs.output import Output

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


@dataclass
class Done:
    """A command that has ended; ``said`` is its standard output and error."""

    status: int | None  # None: it was ended, because it took longer than its limit
    seconds: float
    cpu_seconds: float  # of the driver alone
    said: str
    watch: Watch
    leftovers: list[str]  # kinds of its processes that had to be killed, PATIENCE seconds after it

    @property
    def crashed(self) -> bool:
        return "Traceback" in self.said or self.status is None or self.status < 0

    @property
    def last_line(self) -> str:
        lines = re.split(r"[\r\n]+", self.said.strip())
        return lines[-1][-300:]


@dataclass
class Job:
    """``python pipelines/NAME ARGUMENTS``, with a Ray session of its own below ``work``."""

    work: Path
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    pipeline: str = "protect_dataset.py"

    def run(self, limit: float, every: float = 0.1, look: Any = None) -> Done:
        """To its end; what it leaves running is waited for, then killed. ``look`` gets each family that is seen."""
        ray = self.work / "ray"
        log = self.work / "log"
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RAY_TMPDIR": str(self.work),
            "PYTHONUNBUFFERED": "1",
            "RAY_worker_niceness": "0",  # by Ray's default of 15 others on the machine would decide how long this takes
            **self.environment,
        }
        command = [sys.executable, str(ROOT / "pipelines" / self.pipeline), *self.arguments]
        started = time.monotonic()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True
            )
        status: int | None
        with Watch(process.pid, every, look) as watch:
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                status = None
                (self.work / f"hung-{process.pid}").write_text(log.read_text(errors="replace"))
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
                process.wait()
        seconds = time.monotonic() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        left = end([entry for entry in watch.seen.values() if entry.pid != process.pid], PATIENCE)
        shutil.rmtree(ray, ignore_errors=True)
        return Done(status, seconds, cpu, log.read_text(errors="replace"), watch, [entry.kind for entry in left])


def protected(uri: str) -> Iterator[Entry]:
    """Every protected image of a committed output, as its readers find them."""
    store = open_store(uri)
    for file in Output(uri).manifest()["files"]:
        kind = format_of(file["name"])
        if kind:
            with store.fetched(file["name"]) as path:
                for entry in kind.reader(uri).read(path):
                    assert isinstance(entry, Entry), entry
                    yield entry


def rejected(uri: str) -> Iterator[dict[str, str]]:
    """sample_id, key and reason of each rejected input of a committed output."""
    store = open_store(uri)
    for file in Output(uri).manifest()["files"]:
        if file["name"].startswith("rejected/"):
            with store.fetched(file["name"]) as path:
                yield from pq.read_table(path).to_pylist()


def outcome(uri: str) -> list[tuple[str, str]]:
    """(sample_id, SHA-256 of the decoded pixels or the reason) of every input, sorted; a doubled one is there twice."""
    pixels = ((entry.sample_id, decode(entry.image).rgb) for entry in protected(uri))
    images = [(name, sha256(f"{rgb.shape}".encode() + rgb.tobytes()).hexdigest()) for name, rgb in pixels]
    return sorted(images + [(row["sample_id"], f"rejected: {row['reason']}") for row in rejected(uri)])


def compare(expected: list[tuple[str, str]], found: list[tuple[str, str]]) -> dict[str, int]:
    """How many inputs were lost, doubled, or ended otherwise than expected."""
    ids = [name for name, _ in found]
    wanted = dict(expected)
    return {
        "lost": len(wanted.keys() - set(ids)),
        "doubled": len(ids) - len(set(ids)),
        "changed": sum(wanted.get(name) != value for name, value in dict(found).items()),
    }


def faults(uri: str, source: str) -> list[str]:
    """What verification finds, without Ray."""
    return list(Verification(uri, open_source(source)).faults())


def parser(description: str | None, resumes: bool = False) -> argparse.ArgumentParser:
    """With what every script takes: the folder that it owns, and where its JSON goes, which one that resumes needs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True)
    parser.add_argument("--output", required=resumes)
    return parser


def circumstances() -> dict[str, Any]:
    return {
        "command": shlex.join(["python", *sys.argv]),
        "machine": machine(),
        "versions": versions(),
        "load_at_start": [round(value, 1) for value in os.getloadavg()],
    }


def write(path: str | Path | None, result: dict[str, Any]) -> None:
    if path:
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        staging = place.with_suffix(".tmp")
        staging.write_text(json.dumps(result, indent=2) + "\n")
        staging.replace(place)
