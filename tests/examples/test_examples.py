"""Every example runs to its end, where it checks what it did; one's own method is one small file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.outputs import make_pictures

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
WITH_RAY = {"protect_a_folder.py", "train_on_the_result.py", "a_ray_data_pipeline.py"}
WITHOUT_RAY = {"in_memory.py", "own_countermeasure.py"}
OWN_METHOD = "own_method.py"


def run(*command: str, cwd: Path = ROOT) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == WITH_RAY | WITHOUT_RAY | {OWN_METHOD}


@pytest.mark.parametrize("name", sorted(WITHOUT_RAY))
def test_an_example_without_ray(name):
    assert run(str(EXAMPLES / name)).strip()


@pytest.mark.ray
@pytest.mark.parametrize("name", sorted(WITH_RAY))
def test_an_example_with_ray(name):
    assert run(str(EXAMPLES / name)).strip()


def test_a_method_of_ones_own_is_one_small_file_and_one_line():
    lines = (EXAMPLES / OWN_METHOD).read_text().splitlines()
    assert len(lines) <= 30
    assert [line for line in lines if line.startswith("METHODS")] == ['METHODS["checkerboard"] = Checkerboard']


def test_the_contract_covers_a_method_of_ones_own():
    said = run(
        "-m", "pytest", "-p", "examples.own_method", "-q", "-p", "no:cacheprovider", "-k", "checkerboard",
        "tests/noise/test_contract.py",
    )  # fmt: skip
    passed = int(said.rpartition(" passed")[0].split()[-1])
    assert passed >= 20, said
    assert "failed" not in said


@pytest.mark.ray
def test_a_method_of_ones_own_has_flags_and_protects(tmp_path):
    """And the task that checks it knows it; of these images a network learns nothing, so the check cannot doubt it."""
    photos = make_pictures(tmp_path / "photos", classes=10, each=20)
    program = "import examples.own_method; from ue_ray.cli import main; main()"
    shown = run("-c", program, "protect", "--help")
    assert "--cells" in shown
    assert "checkerboard" in shown
    run("-c", program, "protect", "--input", str(photos), "--output", str(tmp_path / "out"), "--method", "checkerboard",
        "--cells", "4")  # fmt: skip
    assert (tmp_path / "out" / "_SUCCESS").exists()
    assert sum(pq.read_metadata(path).num_rows for path in (tmp_path / "out" / "data").iterdir()) == 200
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["check"]["images"] == 150
