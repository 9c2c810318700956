"""What a user gets wrong: one line on standard error, status 2, nothing left behind. No Ray is started."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ue_ray.cli import main
from ue_ray.distributed.survey import Survey, _survey
from ue_ray.errors import RunError

pytestmark = pytest.mark.ray  # not started, but imported

PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("mistakes")
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    for name in ("good/a", "good/b", "used"):
        (root / name).mkdir(parents=True)
    for name in ("good/a/1.png", "good/b/1.png"):
        image.save(root / name)
    (root / "link").symlink_to("good")
    (root / "used" / "kept.txt").write_text("kept")
    features = '{"info": {"features": {"label": {"names": ["x", "y"], "_type": "ClassLabel"}}}}'
    table = pa.table({"image": [b"1", b"2", b"3"], "label": [0, 1, 7]}).replace_schema_metadata(
        {"huggingface": features}
    )
    pq.write_table(table, root / "range.parquet")
    (root / "broken.parquet").write_bytes(b"PAR1 is not enough")
    return root


MISTAKES = [
    (
        ["--method", "error-minimising"],
        "unknown method 'error-minimising': choose one of gratings, error-minimizing",
    ),
    (["--surrogate", "resnet19"], "unknown model 'resnet19': choose one of resnet9, resnet9-wide, resnet18"),
    (["--epsilon", "8"], "did you mean 8/255?"),
    (["--epsilon", "0.5/255"], "below one 8-bit level"),
    (["--views", "crop,blur"], "unknown view 'blur': choose among crop, flip, grayscale, jpeg, resize"),
    (["--preset", "film"], "unknown preset 'film': choose one of photos"),
    (
        ["--preset", "photos", "--strength", "max"],
        "unknown strength 'max' of preset photos: choose one of low",
    ),
    (["--format", "zip"], "unknown format 'zip': choose one of parquet, imagefolder, webdataset, recordio"),
    (["--encoding", "tiff"], "unknown encoding 'tiff': choose one of png, webp, jpeg"),
    (["--labels", "{{label}}/{{label}}"], "label"),
    (["--num-workers", "0"], "num-workers is 0"),
    (["--data-fraction", "2"], "data-fraction is 2"),
    (["--input", "nowhere"], "nowhere: does not exist"),
    (["--input", "{place}/range.parquet"], "range.parquet"),
    (["--input", "{place}/broken.parquet"], "broken.parquet"),
    (["--output", "{place}/used"], "not empty (holds kept.txt)"),
    (["--output", "{place}/good/out"], "one lies in the other; choose a place apart"),
    (["--output", "{place}/used/../good/./out/"], "one lies in the other; choose a place apart"),
    (["--output", "file://{place}/good/out"], "one lies in the other; choose a place apart"),
    (["--output", "{place}/link/out"], "one lies in the other; choose a place apart"),
    (["--artifact", "{place}/new/noise"], "one lies in the other; choose a place apart"),
    (["--input", "{place}/new/data"], "one lies in the other; choose a place apart"),
    (["--jpeg-quality", "80"], "--jpeg-quality is for --encoding jpeg"),
    (["--artifact", "{place}/good"], "no noise artifact at"),
    (["--artifact", "{place}/good", "--epsilon", "4/255"], "--epsilon does not go with --artifact"),
    (["--seed", "-1"], "seed is -1"),
    (["--learning-rate", "-1"], "learning-rate is -1"),
    (["--strength", "high"], "--strength goes with --preset"),
    (["--method", "random", "--max-rounds", "3"], "--max-rounds is no option of method random; it has none of its own"),
    (["--method", "random", "--num-workers", "2"], "--num-workers is for crafting: method random crafts nothing"),
    (["--schedule", "alternating"], "--schedule alternating is for error-minimizing noise, sample-wise"),
    (["--granularity", "sample-wise", "--delta-table", "actors"], "--delta-table is for class-wise deltas"),
    (["--artifact", "{place}/good", "--seed", "0"], "--seed does not go with --artifact"),
    (["--artifact", "{place}/good", "--num-workers", "1"], "--num-workers does not go with --artifact"),
    (["--image-size", "0"], "image-size is 0"),
    (["--use-gpu", "yes"], "0 GPUs for --num-workers 1: give --use-gpu no"),  # it waited for ever
    (
        ["--granularity", "sample-wise", "--schedule", "alternating", "--data-fraction", "0.5"],
        "needs --data-fraction 1",
    ),
]


def survey_here(source, handling):
    return Survey(source, handling, *_survey._function(source, handling))


@pytest.mark.parametrize(
    ("arguments", "said"), MISTAKES, ids=lambda value: value[-1][-20:] if isinstance(value, list) else ""
)
def test_a_mistake_is_one_line(place, monkeypatch, capsys, arguments, said):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ue_ray.distributed.cluster.connect", lambda: None)
    monkeypatch.setattr("ue_ray.distributed.cluster.gpus", lambda: 0.0)
    monkeypatch.setattr("ue_ray.distributed.protect.survey", survey_here)
    monkeypatch.setattr("ue_ray.distributed.protect.craft", lambda *args: pytest.fail("crafting was started"))
    command = ["--input", str(place / "good"), "--output", str(place / "new")]
    command += [argument.format(place=place) for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["protect", *command])
    assert ended.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert said in error[0]
    assert not (place / "new").exists()
    assert (place / "used" / "kept.txt").read_text() == "kept"


def test_an_option_of_an_input_that_is_not_given_is_refused(place, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--output", str(place), "--split", "train"])
    assert ended.value.code == 2
    assert "--split says how --input is read: give that too" in capsys.readouterr().err


def test_a_run_that_cannot_finish_exits_with_1(monkeypatch, capsys):
    def fails(job):
        raise RunError("47 inputs, but 46 came out")

    monkeypatch.setattr("ue_ray.distributed.protect.carry_out", fails)
    monkeypatch.setattr("ue_ray.protection.job.resolve", lambda *given: given)
    with pytest.raises(SystemExit) as ended:
        main(["protect", "--input", "a", "--output", "b"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "starting Ray\nerror: nothing was committed: 47 inputs, but 46 came out\n"


def test_what_is_behind_the_line_is_in_a_file_that_it_names(monkeypatch, capsys, tmp_path):
    def fails(job):
        raise RunError("no space left on device: b") from OSError("what Ray made of it")

    monkeypatch.setattr("ue_ray.distributed.protect.carry_out", fails)
    monkeypatch.setattr("ue_ray.protection.job.resolve", lambda *given: given)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["protect", "--input", "a", "--output", "b"])
    (log,) = tmp_path.iterdir()
    assert capsys.readouterr().err.splitlines()[1] == (
        f"error: nothing was committed: no space left on device: b (details: {log})"
    )
    assert "OSError: what Ray made of it" in log.read_text()


@pytest.mark.parametrize("script", ["protect_dataset.py", "evaluate_victims.py"])
def test_the_scripts_themselves_show_no_traceback(script, tmp_path):
    command = [sys.executable, str(PIPELINES / script), "--output", str(tmp_path / "out")]
    command += ["--input", "nowhere"] if script.startswith("protect") else [
        "--clean", "nowhere", "--protected", "nowhere", "--test", "nowhere",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "nowhere: does not exist" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
