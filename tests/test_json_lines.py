"""Standard error as JSON lines. No Ray is started."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from ue_ray.cli import main
from ue_ray.cli.json_lines import VARIABLE, JsonLines

ROOT = Path(__file__).parents[1]


def entries(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.splitlines()]


def mistake(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_each_line_is_an_object(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "json")
    monkeypatch.chdir(tmp_path)
    before = sys.stderr
    (entry,) = entries(mistake(capsys, "verify", "--output", "né"))
    assert datetime.fromisoformat(entry.pop("time")).utcoffset() is not None
    assert entry.pop("message").startswith("error: ")
    assert entry == {"command": "verify", "run": str(tmp_path / "né")}
    assert sys.stderr is before


def test_a_line_before_the_flags_are_read_is_of_no_run(monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "json")
    (entry,) = entries(mistake(capsys, "verify", "--outptu", "a"))
    assert entry["run"] is None
    assert "did you mean --output?" in entry["message"]


@pytest.mark.parametrize("value", [None, "text"])
def test_without_it_lines_are_text(value, monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value:
        monkeypatch.setenv(VARIABLE, value)
    assert mistake(capsys, "verify", "--outptu", "a").startswith("error: unknown option --outptu: did you mean")


def test_another_format_is_a_mistake(monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "jsn")
    said = mistake(capsys, "verify", "--output", "a")
    assert said == f"error: unknown {VARIABLE} 'jsn': choose one of text, json (did you mean json?)\n"


def test_lines_of_two_threads_are_not_mixed():
    stream = io.StringIO()
    lines = JsonLines(stream, "protect")
    print("first, ", end="", file=lines)
    other = threading.Thread(target=lambda: print("of another thread", file=lines))
    other.start()
    other.join()
    print("and its end\n\nnext", file=lines)
    assert [entry["message"] for entry in entries(stream.getvalue())] == [
        "of another thread", "first, and its end", "next",
    ]  # fmt: skip


def test_the_line_at_a_stop_is_an_object_too(tmp_path):
    """A module that takes its time stands in for torch and Ray."""
    (tmp_path / "pyarrow.py").write_text("import time; print('begun', flush=True); time.sleep(300)")
    code = "import sys; sys.argv = ['ue-ray', 'verify', '--output', 'a']; from ue_ray.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", VARIABLE: "json"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    (entry,) = entries(process.communicate(timeout=60)[1])
    assert entry["message"].startswith("stopped: the output was not verified; go on with: ")
