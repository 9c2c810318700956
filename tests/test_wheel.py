"""The wheel alone, without the repository: installed into an environment of its own, its command protects photos."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.outputs import make_pictures

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.ray


def test_the_wheel_gives_a_command_that_protects(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("ue_ray-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "py.typed",
        "report.css",
        "page.html.jinja",
        "preview.html.jinja",
        "cifar100-to-cifar10.json",
        "imagenet-to-cifar10.json",
        "evaluation.html.jinja",
    ):
        assert any(name.endswith(f"/{needed}") for name in names), needed
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "examples"))]

    place = tmp_path / "environment"
    venv.create(place, with_pip=False, symlinks=True)
    python, command = str(place / "bin" / "python"), str(place / "bin" / "ue-ray")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=300)
    site = next((place / "lib").glob("python*/site-packages"))
    dependencies = [
        path for path in sys.path if path.endswith("site-packages")
    ]  # torch and Ray are not installed twice
    (site / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}

    def run(*arguments: str) -> str:
        done = subprocess.run([command, *arguments], cwd=empty, env=environment,
                              capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    found = subprocess.run([python, "-c", "import ue_ray; print(ue_ray.__file__)"], cwd=empty, env=environment,
                           capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert found.startswith(str(site)), "the installed package, not the repository"
    assert run("--version").startswith("ue-ray ")
    assert "protect" in run("--help")
    for seed, name in enumerate(("photos", "test")):
        make_pictures(empty / name, seed=seed)
    run("protect", "--input", "photos", "--output", "out", "--method", "random")
    assert (empty / "out" / "_SUCCESS").exists()
    run("verify", "--output", "out", "--input", "photos")
    run("evaluate", "--clean", "photos", "--protected", "out", "--test", "test", "--output", "report",
        "--victims", "resnet9", "--epochs", "1", "--controls", "")  # fmt: skip
    assert "<style>" in (empty / "report" / "report.html").read_text()
