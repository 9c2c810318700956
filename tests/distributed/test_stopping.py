"""Stopping real commands: what they started is gone, and the command that they name goes on."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.outputs import make_output
from tests.test_stopping import hears_ctrl_c, is_running
from ue_ray.storage.outputs.output import Output

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc"),
]
ROOT = Path(__file__).parents[2]
PROTECT = [sys.executable, "pipelines/protect_dataset.py"]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Of commands that start a Ray of their own; processes of that Ray have its place in their command lines."""
    place = tempfile.mkdtemp(prefix="ue-", dir="/tmp")  # short: socket paths have a limit of 107 characters
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    yield others | {"RAY_TMPDIR": place, "PYTHONPATH": str(ROOT)}
    shutil.rmtree(place, ignore_errors=True)


def stopped(
    command: list[str], environment: dict[str, str], number: int, at: Callable[[str], bool]
) -> tuple[int, str, set[int]]:
    """Sends the signal as soon as ``at`` is true of what was said; returns the status, what was said, its processes."""
    said = Path(environment["RAY_TMPDIR"]) / "said.txt"
    with (
        said.open("w") as file,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=file, preexec_fn=hears_ctrl_c
        ) as process,
    ):
        while not at(said.read_text()):
            assert process.poll() is None, said.read_text()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        started = those_of(environment)
        process.send_signal(number)
        return process.wait(10), said.read_text(), started


def those_of(environment: dict[str, str]) -> set[int]:
    """The processes that inherited the environment's place."""
    mark = f"RAY_TMPDIR={environment['RAY_TMPDIR']}".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def test_ctrl_c_while_applying_after_a_craft_ends_it_and_resume_goes_on(environment, photos, tmp_path):
    """Ray Train leaves a handler that ignores it: the run went on and was committed. What it overwrote is gone."""
    output = tmp_path / "out"
    make_output(photos, str(output))
    options = ["--input", str(photos), "--output", str(output), "--surrogate", "resnet9", "--max-rounds", "1"]
    options += ["--weight-steps", "1", "--image-size", "16", "--mode", "overwrite"]
    crafted = output / "noise" / "card.json"

    def applying(said: str) -> bool:
        is_crafted = re.search(r"^craft: .* images/s, [0-9:]+$", said, re.MULTILINE) is not None
        return is_crafted and crafted.exists()

    status, said, started = stopped([*PROTECT, *options], environment, signal.SIGINT, applying)
    assert status == 130, said
    assert len(started) > 5
    assert not Output(str(output)).is_committed()
    last = said.splitlines()[-1]
    again = re.fullmatch(r"stopped: what is finished is kept at the output; go on with: python (.*)", last)
    assert again, said
    assert again[1].endswith("--image-size 16 --mode resume")
    noise = crafted.stat().st_mtime_ns
    done = subprocess.run(
        [sys.executable, *shlex.split(again[1])], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 3, "one round leaves the noise weak"
    assert "committed: 12 protected + 2 rejected = 14 inputs" in done.stderr
    assert crafted.stat().st_mtime_ns == noise, "crafted again"
    assert {process for process in started if is_running(process)} == set()


def test_a_sigterm_while_ray_starts_leaves_no_process(environment, photos, tmp_path):
    """Ray replaces the handler of SIGTERM while it starts: a C stack was shown, and the status was 134.

    What was to be overwritten is there, and the same command goes on.
    """
    output = make_output(photos, str(tmp_path / "out"))
    command = [*PROTECT, "--input", str(photos), "--output", output.uri, "--mode", "overwrite"]
    place = Path(environment["RAY_TMPDIR"])

    def begun(said: str) -> bool:
        return any(place.glob("ray/session_*/sockets/raylet"))

    status, said, started = stopped(command, environment, signal.SIGTERM, begun)
    again = shlex.join(["python", *command[1:]])
    assert (status, said.splitlines()[-1]) == (143, f"stopped: nothing was done; go on with: {again}"), said
    assert output.is_committed()
    assert "SIGTERM received" not in said
    assert len(started) > 2
    assert {process for process in started if is_running(process)} == set()
