"""Victims on a real local Ray: the results file, the report, the guards."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ue_ray.cli.evaluate import command
from ue_ray.distributed.evaluate import evaluate
from ue_ray.distributed.protect import protect
from ue_ray.errors import UserError
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.inputs.folder import FolderSource

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture(scope="module")
def tinted(tmp_path_factory):
    """Reddish and bluish noise images: 40 to train on and 10 to test on, of each."""
    root = tmp_path_factory.mktemp("tinted")
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 10)):
        for name, channel in (("blue", 2), ("red", 0)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 200, (16, 16, 3))
                pixels[..., channel] += 55
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{number}.png")
    return root


def evaluated(clean, protected, test, output, **options):
    places = {"clean": str(clean), "protected": str(protected), "test": str(test), "output": str(output)}
    few = {"victims": "resnet9", "batch_size": 16, "seeds": "0", "recipe": "paper"}
    return command().run(**places, **{**few, **options})


def test_victims_are_trained_and_reported(tinted, tmp_path, capsys):
    protect(str(tinted / "train"), str(tmp_path / "protected"), method="random", epsilon="4/255")
    places = (tinted / "train", tmp_path / "protected", tinted / "test", tmp_path / "report")
    evaluation = evaluated(*places, epochs=3, seeds=[0, 1])
    results = evaluation.results
    assert json.loads((tmp_path / "report" / "results.json").read_text()) == results
    assert [(run["train_set"], run["seed"]) for run in results["runs"]] == [
        ("clean", 0), ("clean", 1), ("control", 0), ("control", 1), ("protected", 0), ("protected", 1),
    ]  # fmt: skip
    for run in results["runs"]:
        assert len(run["curve"]) == run["epochs"] == 3
        assert run["final_test_accuracy"] == run["curve"][-1]["test_accuracy"]
        assert run["peak_test_accuracy"] == max(epoch["test_accuracy"] for epoch in run["curve"])
    protected = results["data"]["protected"]
    assert (protected["aligned"], protected["missing"]) == (80, 0)
    assert protected["max_abs_delta"] == pytest.approx(4 / 255)
    assert 1 / 255 < protected["mean_abs_delta"] < 3 / 255
    assert results["data"]["control"]["epsilon"] == pytest.approx(4 / 255)
    assert "few_test_images" in {guard["name"] for guard in results["guards"]}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "blue" in page
    assert "resnet9" in capsys.readouterr().out
    assert evaluation.report == str(tmp_path / "report" / "report.html")
    finals = [run["final_test_accuracy"] for run in evaluation.runs if run["train_set"] == "protected"]
    assert evaluation.accuracy("resnet9", "protected") == pytest.approx(sum(finals) / 2)
    with pytest.raises(UserError, match="unknown victim 'resnet18': choose one of resnet9"):
        evaluation.accuracy("resnet18", "protected")


def test_labels_are_given_to_what_has_none_of_its_own(tinted, tmp_path, monkeypatch):
    """By keys such as red-7.png; the protected images are an output, whose labels are known."""
    for split in ("train", "test"):
        for path in (tinted / split).glob("*/*.png"):
            (tmp_path / split).mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / split / f"{path.parent.name}-{path.name}")
    rule = "{label}-*"
    clean, output = str(tmp_path / "train"), str(tmp_path / "out")
    protect(clean, output, labels=rule, method="random", format="imagefolder")
    (tmp_path / "test.csv").write_text(
        "key,label\n" + "".join(f"{path.name},{path.name.split('-')[0]}\n" for path in (tmp_path / "test").iterdir())
    )
    monkeypatch.setattr(FolderSource, "list", lambda self: pytest.fail("listed in the driver"))
    monkeypatch.setattr(OutputSource, "list", lambda self: pytest.fail("listed in the driver"))
    places = (clean, output, tmp_path / "test", tmp_path / "report")
    results = evaluated(*places, labels=rule, test_labels=str(tmp_path / "test.csv"), epochs=1, controls="").results
    assert [results["data"][role]["images"] for role in ("clean", "protected", "test")] == [80, 80, 20]
    assert results["data"]["protected"]["aligned"] == 80
    assert results["data"]["protected"]["max_abs_delta"] == pytest.approx(8 / 255)
    assert {tuple(results["data"][role]["class_names"]) for role in ("clean", "protected", "test")} == {("blue", "red")}


def test_every_set_is_trained_on_after_every_countermeasure(tinted, tmp_path, capsys):
    places = (tinted / "train", tinted / "train", tinted / "test", tmp_path / "report")
    results = evaluated(*places, epochs=4, controls="", countermeasures="none, grayscale").results
    assert [(run["countermeasure"], run["train_set"]) for run in results["runs"]] == [
        ("none", "clean"), ("none", "protected"), ("grayscale", "clean"), ("grayscale", "protected"),
    ]  # fmt: skip
    plain, _, gray, _ = (run["peak_test_accuracy"] for run in results["runs"])
    assert plain > gray  # the classes differ in nothing but their tint
    assert "Worst case of 2 countermeasures, none" in capsys.readouterr().out


def test_started_again_it_trains_only_what_is_missing(tinted, tmp_path, capsys):
    places = (tinted / "train", tinted / "train", tinted / "test", tmp_path / "report")
    first = evaluated(*places, epochs=1, controls="").results
    files = sorted((tmp_path / "report" / "runs").iterdir())
    assert len(files) == 2
    written = files[0].stat().st_mtime_ns
    files[1].write_text(files[1].read_text()[:100])  # as if it had been cut off
    capsys.readouterr()
    second = evaluated(*places, epochs=1, controls="", seeds="0,1").results
    assert "victims: 3 trained (1 kept)" in capsys.readouterr().err
    assert files[0].stat().st_mtime_ns == written
    assert [run["seed"] for run in second["runs"]] == [0, 1, 0, 1]
    assert [run["curve"][0]["train_loss"] for run in second["runs"][::2]] == [
        run["curve"][0]["train_loss"] for run in first["runs"]
    ]
    (tmp_path / "report" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match=r"holds mine.txt, and no evaluation"):
        evaluated(*places, epochs=1)


def test_workers_train_a_victim_together(tinted, tmp_path, capsys):
    places = (tinted / "train", tinted / "train", tinted / "test", tmp_path / "report")
    first = evaluated(*places, epochs=5, controls="", workers_per_victim=2).results
    for run in first["runs"]:
        assert len(run["curve"]) == run["epochs"] == 5
        assert run["workers"] == 2
        assert sum(map(sum, run["confusion"])) == 20  # all test images, each once
        assert run["peak_test_accuracy"] >= 0.8
    assert len(list((tmp_path / "report" / "runs").iterdir())) == 2
    capsys.readouterr()
    second = evaluated(*places, epochs=5, controls="", workers_per_victim=2).results
    assert "victims: 0 trained (2 kept)" in capsys.readouterr().err
    assert second["runs"] == first["runs"]


def test_images_with_other_pixels_are_trained_on_again(tinted, tmp_path, capsys):
    """Keys, labels and sizes stay as they were: only the pixels tell the sets apart."""
    for path in tinted.glob("*/*/*.png"):
        place = tmp_path / path.relative_to(tinted).with_suffix(".bmp")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(place)
    places = (tmp_path / "train", tmp_path / "train", tmp_path / "test", tmp_path / "report")
    for changed in (None, "train", "test"):
        for path in tmp_path.glob(f"{changed}/*/*.bmp"):
            Image.fromarray(255 - np.array(Image.open(path))).save(path)
        capsys.readouterr()
        evaluated(*places, epochs=1, controls="")
        assert "victims: 2 trained," in capsys.readouterr().err  # none is kept


def test_classes_in_another_order_and_test_images_that_are_trained_on(tinted, tmp_path):
    keys = sorted(f"{path.parent.name}/{path.name}" for path in (tinted / "train").glob("*/*.png"))
    table = tmp_path / "labels.csv"
    table.write_text("key,label\n" + "".join(f"{key},{key.split('/')[0]}\n" for key in reversed(keys)))
    places = (tinted / "train", tinted / "train", tinted / "train", tmp_path / "report")
    results = evaluated(*places, test_labels=str(table), epochs=1, controls="").results
    assert "80 of 80 test images are clean training images too" in " ".join(
        guard["message"] for guard in results["guards"]
    )
    assert {run["chance"] for run in results["runs"]} == {0.5}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"victims": "resnet9,vgg12"}, "unknown model 'vgg12'"),
        ({"seeds": "one"}, "whole numbers"),
        ({"seeds": 0}, "--seeds is 0: expected a list of whole numbers"),
        ({"epoch": 3}, "unknown option 'epoch': choose one of labels"),
        ({"controls": "gauss"}, "unknown control 'gauss': choose among random"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"workers_per_victim": 0}, "--workers-per-victim is 0: it must be at least 1"),
        ({"workers_per_victim": 3}, "--workers-per-victim is 3, each with --cpus-per-victim 1: the cluster holds 2"),
        ({"workers_per_victim": 2, "cpus_per_victim": 2}, "each with --cpus-per-victim 2: the cluster holds 1"),
        ({"workers_per_victim": 8, "batch_size": 4}, "--batch-size is 4: too few for --workers-per-victim 8"),
        (
            {"countermeasures": "jpg"},
            "unknown countermeasure 'jpg': choose among none, cutout, mixup, cutmix",
        ),
        ({"countermeasures": ","}, "--countermeasures is empty"),
        ({"augmentation": "cutout"}, "crop-flip, crop, none"),
        ({"protected": "mnist5k"}, "--protected has classes that --clean does not have: 0, 1, 2"),
        ({"test": "nowhere"}, "nowhere: does not exist"),
    ],
)
def test_mistakes_are_one_line_before_anything_starts(tinted, tmp_path, change, said):
    good = {"clean": str(tinted / "train"), "protected": str(tinted / "train"), "test": str(tinted / "test")}
    with pytest.raises(UserError) as caught:
        evaluate(**{**good, "output": str(tmp_path / "report"), **change})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report").exists()
