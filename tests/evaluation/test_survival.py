"""benchmarks/survival.py on a toy."""

import io
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks.survival import Run, Survival, craft, table, train, train_set, unseen
from ue_ray.noise.artifact import NoiseArtifact


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Two classes of 32x32 noise: 12 training images of each, 4 test images."""
    root = tmp_path_factory.mktemp("survival")
    rng = np.random.default_rng(0)
    for split, per_class in (("train", 12), ("test", 4)):
        rows = []
        for number in range(2 * per_class):
            file = io.BytesIO()
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file, "PNG")
            rows.append({"image": {"bytes": file.getvalue(), "path": f"{number}.png"}, "label": number % 2})
        pq.write_table(pa.Table.from_pylist(rows), root / f"{split}.parquet")
    return Survival(
        str(root), str(root / "out"), recipes="clean,plain", countermeasures="none,grayscale", per_class=8, epochs=1,
        batch_size=8,
    )  # fmt: skip


def test_the_noise_is_that_of_the_recipe_and_crafted_once(options):
    clean, plain = train_set(options, "clean"), train_set(options, "plain")
    assert clean.images.shape == (16, 32, 32, 3)
    assert clean.labels.tolist() == [0, 1] * 8
    change = plain.images.astype(int) - clean.images
    assert 0 < np.abs(change).max() <= 8
    kept = NoiseArtifact.load(f"{options.output}/noise/plain")
    assert kept.config.canvas == 32
    assert craft(options, "plain").record == kept.record  # its seconds too: nothing was crafted again


def test_held_out_images_are_not_trained_on(options):
    held_out = unseen(replace(options, held_out=4))
    assert len(held_out.labels) == 8
    assert not set(held_out.sample_ids) & set(train_set(options, "clean").sample_ids)
    assert len(unseen(options).labels) == 8
    assert unseen(replace(options, test_per_class=3)).labels.tolist() == [0, 1] * 3


def test_a_run_is_a_file_and_the_table_has_a_row_a_recipe(options):
    runs = [Run(options, recipe, name, 0) for recipe in ("clean", "plain") for name in ("none", "grayscale")]
    for run in runs:
        entry = train(run)
        assert json.loads(run.file.read_text()) == entry
        assert (entry["train_set"], entry["countermeasure"]) == (run.recipe, run.countermeasure)
    lines = list(table(options, [json.loads(run.file.read_text()) for run in runs]))
    assert lines[0] == "| noise | none | grayscale |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| clean", "| plain"]
