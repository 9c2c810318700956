"""Sets of images for victims, decoded in several tasks."""

from dataclasses import replace

import numpy as np
import pytest
import ray
from PIL import Image

from ue_ray.distributed.survey import survey
from ue_ray.distributed.victims.image_sets import ImageSets
from ue_ray.errors import UserError
from ue_ray.evaluation.victim import load_data_set
from ue_ray.storage.inputs.open_source import open_source

pytestmark = pytest.mark.ray


def listed(folder, shards):
    """The survey of a folder, with its rows cut into so many shards."""
    found = survey(open_source(str(folder)))
    ends = np.linspace(0, found.summary.count, shards + 1).astype(np.int64)
    plan = ray.put(np.stack([ends[:-1], ends[1:]], 1))
    return replace(found, summary=replace(found.summary, shards=shards), plan=plan)


@pytest.fixture
def folder(tmp_path):
    """Two classes of 15 images, of which one cannot be decoded."""
    draw = np.random.default_rng(0)
    for number in range(30):
        place = tmp_path / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (9, 9, 3), np.uint8)).save(place / f"{number:02}.png")
    (tmp_path / "a" / "08.png").write_bytes(b"no image")
    return tmp_path


@pytest.mark.parametrize("shards", [1, 7])
def test_a_set_is_the_same_however_many_tasks_decode_it(folder, shards, ray_cluster):
    found = listed(folder, shards)
    loaded = ray.get(ImageSets({"clean": found}, 8).loaded("clean"))
    source = open_source(str(folder))
    alone = load_data_set(source, source.list(), 8)
    assert (len(loaded), loaded.rejected) == (29, 1)
    assert loaded.digest() == alone.digest()
    assert list(loaded.sample_ids) == list(alone.sample_ids)


def test_a_set_without_one_good_image_is_a_mistake_in_one_line(tmp_path, folder, ray_cluster):
    found = listed(folder, 3)
    for image in folder.glob("*/*.png"):
        image.write_bytes(b"no image")
    with pytest.raises(UserError, match="none of its 30 images can be decoded"):
        ray.get(ImageSets({"clean": found}, 8).loaded("clean"))
