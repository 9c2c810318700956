"""Verifying on a real local Ray: the exit status, the lines, and the mistakes."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.outputs import make_output, make_photos
from ue_ray.cli import main
from ue_ray.distributed.verify import verify
from ue_ray.errors import RunError
from ue_ray.storage.inputs.folder import FolderSource

pytestmark = pytest.mark.ray

SCRIPT = Path(__file__).parents[2] / "pipelines" / "verify_output.py"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"), 30)


def ended(capsys, *arguments):
    with pytest.raises(SystemExit) as exit:
        main(["verify", *map(str, arguments)])
    said = capsys.readouterr()
    return exit.value.code, said.out.splitlines(), said.err


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("format", ["parquet", "imagefolder"])
def test_a_sound_output_exits_with_0_and_a_faulty_one_with_1(photos, tmp_path, capsys, format):
    output = tmp_path / "out"
    make_output(photos, str(output), format, rows=3)  # 11 shards: more than are under way at once
    status, lines, progress = ended(capsys, "--output", output, "--input", photos)
    assert (status, len(lines)) == (0, 1)
    assert lines[0].startswith("verified: 32 samples in ")
    assert ": no fault; " in lines[0]
    assert "files read" in progress
    victim = sorted((output / "data").rglob("*.p*"))[4]
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    (output / "data" / "extra.parquet").write_bytes(b"extra")
    status, lines, _ = ended(capsys, "--output", output)
    assert status == 1
    assert lines[0].startswith(f"{victim.relative_to(output)}: sha256 differs from the ")
    assert lines[1] == "data/extra.parquet: is there but not recorded"
    assert ": 2 faults; " in lines[2]
    assert len(lines) == 3
    verification = verify(str(output))
    assert [*verification.faults, verification.summary] == lines
    assert json.loads(json.dumps(asdict(verification)))["output"] == str(output)
    assert capsys.readouterr().out == "", "a library call prints no fault"


@pytest.mark.usefixtures("ray_cluster")
def test_the_driver_lists_nothing_and_names_what_was_left_out(photos, tmp_path, monkeypatch, capsys):
    make_output(photos, str(tmp_path / "out"))
    more = shutil.copytree(photos, tmp_path / "more")
    shutil.copy(photos / "ada" / "0.png", more / "ada" / "new.png")
    monkeypatch.setattr(FolderSource, "list", lambda self: pytest.fail("listed in the driver"))
    status, lines, _ = ended(capsys, "--output", tmp_path / "out", "--input", more)
    assert status == 1
    assert lines[0].startswith("input: other files, labels or sizes than were protected")
    assert lines[1] == "input: 'ada/new.png': neither protected nor rejected"
    assert ": 2 faults; " in lines[2]
    (tmp_path / "empty").mkdir()
    status, lines, error = ended(capsys, "--output", tmp_path / "out", "--input", tmp_path / "empty")
    assert (status, lines) == (2, [])
    assert error.startswith(f"error: {tmp_path / 'empty'} (expected one folder a class; found no file")


def test_a_place_without_an_output_is_one_line(tmp_path):
    command = [sys.executable, str(SCRIPT), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path}: not a committed output (no _SUCCESS)\n"


def test_a_run_that_cannot_finish_says_that_nothing_was_verified(photos, tmp_path, monkeypatch, capsys):
    def fails(output, input, on_fault):
        raise RunError("bucket/in: no longer there")

    monkeypatch.setattr("ue_ray.distributed.verify.verify", fails)
    make_output(photos, str(tmp_path / "out"))
    status, lines, error = ended(capsys, "--output", tmp_path / "out")
    assert (status, lines) == (1, [])
    assert error == "starting Ray\nerror: the output was not verified: bucket/in: no longer there\n"
