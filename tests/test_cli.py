"""``ue-ray`` itself: usage, one line for a mistake, an exit status. No Ray is started."""

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ue_ray
from ue_ray.cli import COMMANDS, main
from ue_ray.storage.inputs.folder import GLANCE


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


def loaded_after(*arguments: str) -> tuple[str, str, list[str]]:
    """What ``ue-ray`` says to these arguments, on both streams, and which of torch and ray it has loaded then."""
    code = (
        "import sys; from ue_ray.cli import main\n"
        "try: main()\n"
        "finally: print('loaded', *(name for name in ('torch', 'ray') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    said, _, loaded = done.stdout.rpartition("loaded")
    return said, done.stderr, loaded.split()


def said_to(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a mistake. Ray was not started: that takes seconds, and another line says it."""
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_costs_neither_torch_nor_ray_and_ends_with_an_example(command):
    said, error, loaded = loaded_after(command, "--help")
    assert (error, loaded) == ("", [])
    assert said.rstrip().splitlines()[-1].strip().startswith(f"ue-ray {command} --")


def test_the_help_is_in_groups(capsys):
    with pytest.raises(SystemExit):
        main(["protect", "--help"])
    said = capsys.readouterr().out
    for group in ("Needed", "Reading", "Writing", "Noise", "Method error-minimizing or sem", "Workers", "Example"):
        assert f"\n{group}:\n" in said


def test_verify_looks_without_torch(folders):
    assert loaded_after("verify", "--output", str(folders / "good"))[2] == []


@pytest.mark.parametrize("arguments", ["protect --outpot 1", "protect --input a --output b --seed one"])
def test_a_mistake_in_a_flag_costs_neither_torch_nor_ray(arguments):
    _, error, loaded = loaded_after(*arguments.split())
    assert (error[:7], loaded) == ("error: ", [])


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_flag_is_one_line(command, capsys):
    said = f"unknown option --outpot: did you mean --output? (ue-ray {command} --help lists them all)"
    assert said_to(f"{command} --outpot 1", capsys) == f"error: {said}\n"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    for name in ("empty", "hidden", "one/a", "good/a", "good/b"):
        (root / name).mkdir(parents=True)
    for name in ("hidden/.1.png", "one/a/1.png", "good/a/1.png", "good/b/1.png"):
        (root / name).write_bytes(b"an image")
    for name in ("broad/a", "broad/b"):
        (root / name).mkdir(parents=True)
    for number in range(GLANCE + 1):
        (root / "broad/a" / f"{number}.png").touch()
    (root / "broad/b/0.png").touch()
    (root / "labels.csv").write_text("name,label\n0.png,1\n")
    columns = {"image": [b"1", b"2"], "label": [0, 7], "photo": ["1", "2"], "score": [0.5, 1.5]}
    pq.write_table(pa.table(columns), root / "good.parquet")
    return root


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("protect --input {0}/empty --output {0}/out", "empty (expected one folder a class; found no file): holds no"),
        ("protect --input {0}/hidden --output {0}/out", "found 1 .png file at the top): holds samples of no class"),
        ("protect --input {0}/broad --output {0}/out --labels {0}/labels.csv", "labels.csv: no column key; found name"),
        ("protect --input {0}/good.parquet --output {0}/out --label-column class", "no column class; found image (bin"),
        ("protect --input {0}/good.parquet --output {0}/out --image-column photo", "column photo holds string; expe"),
        ("protect --input {0}/good.parquet --output {0}/out --label-column score", "row 0 has score 0.5"),
        (
            "protect --input {0}/good --output {0}/out --only a,c",
            "--only: no class is called 'c'; the input has 2 classes",
        ),
        ("protect --input {0}/good --output {0}/out --classes a --only b", "--only: no class is called 'b'"),
        ("protect --input {0}/good --output {0}/out --classes @{0}/no.txt", "no.txt: there is no such file"),
        ("protect --input lfw --output {0}/out --data-dir {0}", "lfw: there is no folder"),
        ("protect --input {0}/good --output {0}/out --method randon", "(did you mean random?)"),
        (
            "protect --input {0}/good --output {0}/out --mode resum",
            "unknown mode 'resum': choose one of refuse",
        ),
        ("protect --output {0}/out", "--input must be given (ue-ray protect --help says what it is)"),
        ("evaluate --clean {0}/no --protected {0}/one --test {0}/good --output {0}/out", "does not exist"),
        ("verify --output {0}/good", "not a committed output"),
        ("reproduce --experiment fig1 --output {0}/out", "unknown experiment 'fig1'"),
        ("reproduce --experiment mixtures --output {0}/out --seeds one", "--seeds: 'one' is not a list of whole"),
        ("reproduce --experiment mixtures --output {0}/out --epsilon big", "--epsilon: 'big' is not a number"),
        ("reproduce --experiment mixtures --output {0}/out --epsilon 8", "did you mean 8/255?"),
        ("reproduce --experiment mixtures --output {0}/out --views blur", "--views: unknown view 'blur'"),
        ("reproduce --experiment mixtures --output {0}/out --data {0}/no", "no: does not exist"),
        ("protect --input {0}/good --output {0}/out --step-size big", "--step-size: 'big' is not a number"),
        ("protect --input {0}/good --output {0}/out --num-workers two", "--num-workers is 'two': expected a whole"),
    ],
)
def test_a_mistake_that_a_first_look_shows_costs_no_ray(folders, arguments, said, capsys):
    assert said in said_to(arguments.format(folders), capsys)
    assert not (folders / "out").exists()
