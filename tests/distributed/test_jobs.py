"""``ray job submit`` to a head with a job server that asks for a token: real processes, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ue_ray.storage.outputs.output import Output

pytestmark = pytest.mark.ray

ROOT = Path(__file__).resolve().parents[2]
RAY = Path(sys.executable).with_name("ray")  # a link to the interpreter would lead out of the environment


@dataclass(frozen=True)
class Head:
    address: str
    environment: dict[str, str]

    def submit(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A job of this checkout, waited for; ``environment`` overrides the client's."""
        return subprocess.run(
            [RAY, "job", "submit", "--address", self.address, "--working-dir", ROOT, "--", *command],
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    place = Path(tempfile.mkdtemp(prefix="ue-", dir="/tmp"))  # short: socket paths have a limit of 107 characters
    token = place / "token"
    token.write_text("a-token-of-this-test-alone-0123456789")
    gcs, dashboard, client, agent, metrics = free_ports(5)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
        "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",  # the job's `python` is the head's
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    options = {
        "port": gcs,
        "dashboard-port": dashboard,
        "ray-client-server-port": client,
        "dashboard-agent-listen-port": agent,
        "metrics-export-port": metrics,
        "node-ip-address": "127.0.0.1",
        "dashboard-host": "127.0.0.1",
        "temp-dir": place / "ray",
        "num-cpus": 2,
        "object-store-memory": 200 << 20,
    }
    with (place / "head.log").open("w") as log:
        process = subprocess.Popen(
            [RAY, "start", "--head", "--block", *(f"--{name}={value}" for name, value in options.items())],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            found = Head(f"http://127.0.0.1:{dashboard}", environment)
            deadline = time.monotonic() + 300  # a head that hangs; on a busy machine it takes minutes
            while subprocess.run(
                [RAY, "job", "list", "--address", found.address], env=environment, capture_output=True
            ).returncode:
                assert process.poll() is None, (place / "head.log").read_text()
                assert time.monotonic() < deadline, (place / "head.log").read_text()
            yield found
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # all that it has started: asked politely, it takes half a minute
            process.wait()
    shutil.rmtree(place, ignore_errors=True)


def test_a_submitted_job_protects_and_its_logs_say_so(head: Head, photos: Path, tmp_path: Path):
    output = tmp_path / "out"
    run = head.submit(
        "python", "pipelines/protect_dataset.py", "--input", str(photos), "--output", str(output), "--method", "random"
    )
    assert run.returncode == 0, run.stdout
    assert "committed: 12 protected + 2 rejected = 14 inputs" in run.stdout
    assert Output(str(output)).manifest()["protected"] == 12


def test_a_failing_job_ends_with_its_reason_and_not_with_zero(head: Head, tmp_path: Path):
    run = head.submit(
        "python", "pipelines/protect_dataset.py", "--input", "/nowhere", "--output", str(tmp_path / "out")
    )
    assert run.returncode != 0
    assert "/nowhere: does not exist" in run.stdout
    assert not (tmp_path / "out").exists()


def test_without_the_token_nothing_is_submitted(head: Head, tmp_path: Path):
    (tmp_path / "other").write_text("another-token-entirely-0123456789")
    for wrong in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "other")}):
        run = head.submit("python", "-c", f"open({str(tmp_path / 'ran')!r}, 'w')", **wrong)
        assert run.returncode != 0
        assert "401" in run.stdout or "403" in run.stdout or "token" in run.stdout.lower(), run.stdout
    assert not (tmp_path / "ran").exists()
