"""``ue-ray`` itself: usage, one line for a mistake, an exit status. Nothing heavy is imported."""

import subprocess
import sys

import pytest

import ue_ray
from ue_ray.cli import COMMANDS, main


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_the_commands_are_listed(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(f"  {name}" in said for name in COMMANDS)


def test_the_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"ue-ray {ue_ray.__version__}\n"


def test_an_unknown_command_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["protekt"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: unknown command 'protekt': choose one of protect, evaluate, reproduce, verify (did you mean protect?)\n"
    )


def test_the_usage_costs_neither_torch_nor_ray():
    code = "import sys; from ue_ray import cli; print([n for n in ('torch', 'ray') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.ray  # not started, but imported
@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_flag_ends_with_2(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--no-such-flag", "1"])
    assert ended.value.code == 2
    assert "no-such-flag" in capsys.readouterr().err
