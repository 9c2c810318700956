"""SIGINT and SIGTERM end a command at once, with a line, a status and no process left. No Ray is started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ue_ray.cli import _stopped
from ue_ray.cli.stopping import stoppable

WITHIN = "import os, signal, subprocess, sys, time; from ue_ray.cli.stopping import stoppable\n"
SLEEPS = "print('begun', flush=True); time.sleep(300)"
STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def hears_ctrl_c() -> None:
    """In a child: tests that run in the background ignore SIGINT, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped(body: str, number: int) -> tuple[int, str, str]:
    """Sends the signal when ``body`` has said that it has begun; returns the status, what follows, and the errors."""
    code = f"{WITHIN}with stoppable(lambda: 'stopped: a line'):\n" + "".join(
        f"    {line}\n" for line in body.splitlines()
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said.startswith("begun")
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    return process.returncode, said + out, error


@pytest.mark.parametrize(("number", "status"), STOPS)
def test_a_signal_ends_the_process_with_one_line(number, status):
    assert stopped(SLEEPS, number) == (status, "begun\n", "stopped: a line\n")


@pytest.mark.parametrize(("number", "status"), STOPS)
def test_a_handler_that_a_library_leaves_behind_changes_nothing(number, status):
    """Ray Train's handler of SIGINT goes on with the run; ``ray.init`` has one for SIGTERM that exits with 15."""
    for handler in ("lambda *_: None", "lambda *_: sys.exit(15)"):
        body = f"for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, {handler})\n{SLEEPS}"
        assert stopped(body, number) == (status, "begun\n", "stopped: a line\n")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_no_process_below_is_left(tmp_path):
    """A child in a session of its own, and its child, neither of which hears the signal."""
    child = "import signal, subprocess; signal.signal(signal.SIGTERM, signal.SIG_IGN); subprocess.run(['sleep', '300'])"
    body = f"child = subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)\n"
    body += "path = f'/proc/{child.pid}/task/{child.pid}/children'\nwhile not open(path).read().split(): pass\n"
    body += f"print('begun', child.pid, open(path).read(), flush=True)\n{SLEEPS}"
    status, said, _ = stopped(body, signal.SIGTERM)
    assert status == 143
    processes = [int(word) for word in said.splitlines()[0].split()[1:]]
    assert len(processes) == 2
    late = time.monotonic() + 10  # a process that was killed needs the processor once more to end
    while (left := [process for process in processes if is_running(process)]) and time.monotonic() < late:
        pass
    assert left == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_a_library_that_exits_when_it_misses_a_child_does_not_come_first():
    """Ray's does, with status 1, when its raylet is gone: so was a Ctrl-C, now and then."""
    body = "import threading\nsys.setswitchinterval(1e-6)\n"
    body += "children = [subprocess.Popen(['sleep', '300']) for _ in range(20)]\n"
    body += "misses = lambda child: (child.wait(), os._exit(1))\n"
    body += "for child in children: threading.Thread(target=misses, args=[child], daemon=True).start()\n"
    assert stopped(f"{body}{SLEEPS}", signal.SIGINT) == (130, "begun\n", "stopped: a line\n")


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # killed; whoever inherits it has yet to look


def test_afterwards_the_handlers_are_as_they_were():
    def own(number, frame): ...

    former = signal.signal(signal.SIGTERM, own)
    try:
        before = [signal.getsignal(number) for number, _ in STOPS]
        with stoppable(lambda: "a line"):
            assert signal.getsignal(signal.SIGTERM) is not own
        assert [signal.getsignal(number) for number, _ in STOPS] == before
    finally:
        signal.signal(signal.SIGTERM, former)


def test_a_signal_that_was_ignored_stays_ignored():
    """As after nohup, or in the background of a script."""
    body = f"os.kill(os.getpid(), signal.SIGINT)\n{SLEEPS}"
    code = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{WITHIN}"
    code += "with stoppable(lambda: 'a line'):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.terminate()
    assert process.communicate(timeout=60)[1] == "a line\n"
    assert process.returncode == 143


@pytest.mark.parametrize("mode", ["", "--mode refuse", "--mode=resume", "--mode overwrite"])
def test_a_protection_goes_on_by_resume_once_it_has_begun(monkeypatch, mode):
    """Before, it has removed nothing and written nothing: resume would find what is there to be another run's."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/ue-ray"])
    arguments = ["--input", "a", *mode.split(), "--output", "b"]
    assert _stopped("protect", arguments, begun=True) == (
        "stopped: what is finished is kept at the output; go on with: ue-ray protect --input a --output b --mode resume"
    )
    assert _stopped("protect", arguments, begun=False) == (
        f"stopped: nothing was done; go on with: ue-ray protect {' '.join(arguments)}"
    )


def test_the_command_that_goes_on_is_the_same(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/ue-ray"])
    said = _stopped("evaluate", ["--clean", "a", "--output", "b"], begun=True)
    assert said.endswith("; go on with: ue-ray evaluate --clean a --output b")
    monkeypatch.setattr(sys, "argv", ["pipelines/verify_output.py"])
    said = _stopped("verify", ["--output", "my photos"], begun=True)
    assert said.endswith("; go on with: python pipelines/verify_output.py --output 'my photos'")


@pytest.mark.parametrize(("number", "status"), STOPS)
def test_a_command_can_be_stopped_while_it_is_still_loaded(number, status, tmp_path):
    """A module that takes its time stands in for torch and Ray."""
    (tmp_path / "pyarrow.py").write_text(f"import time\n{SLEEPS}")
    code = "import sys; sys.argv = ['ue-ray', 'verify', '--output', 'a']; from ue_ray.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == status
    assert error == "stopped: the output was not verified; go on with: ue-ray verify --output a\n"
