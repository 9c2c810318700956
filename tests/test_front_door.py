"""What ``import ue_ray`` offers: at no cost, each with a docstring, each example true."""

import doctest
import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ue_ray
from ue_ray.errors import RunError, UserError
from ue_ray.images.codec import decode, encode
from ue_ray.ray_data import Protect as Stage
from ue_ray.transforms import Protect

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ("protect", "evaluate", "reproduce", "verify", "craft", "load_noise", "load_protected")
BLACK = np.zeros((4, 4, 3), np.uint8)
RAY_FREE = ("ue_ray.noise.in_memory", "ue_ray.transforms", "ue_ray.ray_data", "ue_ray.protection.manifest")


def fresh(code: str) -> dict[str, object]:
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    result: dict[str, object] = json.loads(run.stdout.splitlines()[-1])
    return result


def test_importing_costs_neither_torch_nor_ray_nor_arrow():
    heavy = fresh(
        "import json, sys, ue_ray; print(json.dumps([n for n in ('torch', 'ray', 'pyarrow') if n in sys.modules]))"
    )
    assert heavy == []


@pytest.mark.ray  # not started, but imported
def test_a_library_import_changes_nothing_of_the_process():
    before_and_after = """
import json, logging, os, sys
from PIL import Image
def state():
    levels = {name: logging.getLogger(name).level for name in ("", "ray", "ray.data", "ray.train", "PIL")}
    return [dict(os.environ), levels, Image.MAX_IMAGE_PIXELS]
import torch, ray, ray.data, ray.train
before = state()
import ue_ray.noise.in_memory, ue_ray.distributed.protect, ue_ray.distributed.evaluate, ue_ray.images.codec
print(json.dumps(before == state()))
"""
    assert fresh(before_and_after) is True


def test_the_names_are_listed_and_others_are_not_there():
    assert set(FUNCTIONS) < set(dir(ue_ray))
    assert {"METHODS", "COUNTERMEASURES", "MODELS", "VIEWS", "FORMATS", "Budget", "UserError"} < set(ue_ray.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'portect'"):
        _ = ue_ray.portect


@pytest.mark.ray  # not started, but imported
@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_says_what_it_does_with_an_example(name):
    text = getattr(ue_ray, name).__doc__
    assert text.split("\n")[0].endswith((".", ","))
    assert "Raises" in text
    assert "Example:" in text
    assert ">>> " in text


@pytest.mark.parametrize("name", RAY_FREE)
def test_the_examples_of_the_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.fixture(scope="module")
def artifact():
    return ue_ray.craft(np.zeros((4, 16, 16, 3), np.uint8), ["ada", "bob"] * 2, method="random", epsilon="8/255")


def test_what_comes_back_is_of_the_kind_that_went_in(artifact):
    array = np.full((20, 24, 3), 128, np.uint8)
    levels = torch.from_numpy(array).permute(2, 0, 1)
    kinds = [array, Image.fromarray(array), levels, levels.float() / 255]
    plain, picture, whole, fractions = ue_ray.Protector(artifact).protect(kinds, ["ada"] * 4)
    assert isinstance(picture, Image.Image)
    assert (plain.dtype, whole.dtype, fractions.dtype) == (np.uint8, torch.uint8, torch.float32)
    for other in (
        np.array(picture),
        whole.permute(1, 2, 0).numpy(),
        (fractions * 255).round().permute(1, 2, 0).numpy(),
    ):
        np.testing.assert_array_equal(other, plain)
    assert 0 < np.abs(plain.astype(int) - 128).max() <= 8


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda a: ue_ray.Protector(a).protect([np.zeros((4, 4), np.uint8)], [0]), r"an image is uint8 \[4, 4\]"),
        (
            lambda a: ue_ray.Protector(a).protect([np.zeros((4, 4, 3), np.uint8)], ["eve"]),
            "no class 'eve': choose among",
        ),
        (lambda a: ue_ray.Protector(a).protect([np.zeros((4, 4, 3), np.uint8)], [2]), "label 2 is out of range"),
        (lambda a: ue_ray.craft([], []), "there is no image"),
        (lambda a: ue_ray.craft(np.zeros((2, 8, 8, 3), np.uint8), [0]), "2 images, but 1 labels"),
        (lambda a: ue_ray.craft(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], max_round=3), "--max-round is no option"),
        (lambda a: ue_ray.craft(np.zeros((2, 8, 8, 3), np.uint8), [0, 0.5]), "labels must be whole numbers"),
        (lambda a: ue_ray.craft(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], class_names=["a", "a"]), "has 'a' 2 times"),
        (lambda a: ue_ray.load_noise("/nowhere"), "no noise artifact at /nowhere"),
    ],
)
def test_a_mistake_is_one_line(artifact, call, said):
    with pytest.raises(UserError, match=said) as raised:
        call(artifact)
    assert "\n" not in str(raised.value)


def test_a_class_without_an_image_has_no_noise_that_claims_to_protect_it():
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    crafted = ue_ray.craft(
        images, [0, 2] * 2, granularity="class-wise", max_rounds=1, surrogate="resnet9", batch_size=4
    )
    protector = ue_ray.Protector(crafted)
    protector.protect(images, [0, 2] * 2)
    with pytest.raises(UserError, match="the noise protects no class '1': it was crafted on data without an image"):
        protector.protect(images, [0, 1] * 2)


def test_a_transform_protects_as_the_noise_does_in_every_worker(artifact):
    image = torch.full((3, 16, 16), 100, dtype=torch.uint8)
    transform = Protect(artifact)
    changed, label = pickle.loads(pickle.dumps(transform))(image, 1)
    (expected,) = ue_ray.Protector(artifact).protect([image], [1])
    assert label == 1
    assert torch.equal(changed, expected)
    own = ue_ray.craft(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], method="random", granularity="sample-wise")
    with pytest.raises(UserError, match="each sample's own"):
        Protect(own)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_examples_with_ray_are_true(outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("protect", "evaluate", "reproduce", "verify"):
        module = importlib.import_module(f"ue_ray.distributed.{name}")
        result = doctest.testmod(module, extraglobs={"output": str(outputs / "parquet")})
        assert (name, result.failed) == (name, 0)
        assert result.attempted > 0


def test_a_stage_of_ones_own_pipeline_takes_arrays_files_and_images_of_any_size(artifact, tmp_path):
    artifact.save(str(tmp_path))
    stage = Stage(str(tmp_path), sample_id="id")
    sizes = [(20, 24), (8, 9)]
    images = np.empty(2, object)
    images[:] = [np.full((*size, 3), 128, np.uint8) for size in sizes]
    out = stage({"image": images, "label": np.array(["ada", "bob"]), "id": np.array([1, 2])})["image"]
    assert [image.shape[:2] for image in out] == sizes
    files = np.empty(2, object)
    files[:] = [encode(image) for image in images]
    written = stage({"image": files, "label": np.array([0, 1]), "id": np.array([1, 2])})["image"]
    for data, image in zip(written, out, strict=True):
        np.testing.assert_array_equal(decode(data).rgb, image)
    files[:] = [b"no image"] * 2
    with pytest.raises(RunError, match="cannot be decoded: not an image"):
        stage({"image": files, "label": np.array([0, 1]), "id": np.array([1, 2])})
