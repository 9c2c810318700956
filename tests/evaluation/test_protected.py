"""A committed output of each format is a dataset for PyTorch."""

import doctest
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ue_ray.errors import RunError, UserError
from ue_ray.evaluation import protected
from ue_ray.evaluation.protected import load_protected
from ue_ray.images.codec import decode
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.outputs.formats import FORMATS


def corner(image):
    return image[:, :8, :8].float() / 255


@pytest.mark.parametrize("format", FORMATS)
def test_items_are_the_decoded_images_of_the_output(outputs, format):
    images = load_protected(str(outputs / format))
    source = OutputSource(str(outputs / format))
    listing = source.list()
    assert len(images) == len(listing) == 12
    assert images.class_names == ["Bob", "ada"]
    assert images.sample_ids == listing.table["sample_id"].to_pylist()
    for index, file in enumerate(source.read(listing.table)):
        image, label = images[index]
        assert (image.dtype, type(label)) == (torch.uint8, int)
        np.testing.assert_array_equal(image.permute(1, 2, 0), decode(file).rgb)
        assert label == listing.labels()[index]
    assert len(list(images)) == 12, "it ends"
    assert torch.equal(images[-1][0], images[11][0])


@pytest.mark.parametrize("format", FORMATS)
def test_workers_of_a_loader_give_the_same_batches(outputs, format):
    images = load_protected(str(outputs / format), transform=corner)
    assert torch.equal(pickle.loads(pickle.dumps(images))[3][0], images[3][0])
    alone, shared = (list(DataLoader(images, batch_size=5, num_workers=workers)) for workers in (0, 2))
    assert [len(labels) for _, labels in shared] == [5, 5, 2]
    for (left, left_labels), (right, right_labels) in zip(alone, shared, strict=True):
        assert left.shape[1:] == (3, 8, 8)
        assert torch.equal(left, right)
        assert torch.equal(left_labels, right_labels)
    drawn = DataLoader(images, batch_size=4, shuffle=True, num_workers=2, generator=torch.Generator().manual_seed(0))
    assert sorted(label for _, labels in drawn for label in labels.tolist()) == [0] * 6 + [1] * 6


def test_the_example_runs(outputs):
    names = {**vars(protected), "output": str(outputs / "parquet")}
    (example,) = doctest.DocTestFinder().find(load_protected, "load_protected", module=protected, globs=names)
    assert doctest.DocTestRunner().run(example) == (0, 4)


def test_what_is_no_committed_output_is_one_line(outputs, photos, tmp_path):
    with pytest.raises(UserError, match=r"photos\d*: not a committed output \(no _SUCCESS\)"):
        load_protected(str(photos))
    changed = shutil.copytree(outputs / "parquet", tmp_path / "changed")
    manifest = json.loads((changed / "manifest.json").read_text())
    (changed / "manifest.json").write_text(json.dumps(manifest | {"class_names": ["ada", "Bob"]}))
    with pytest.raises(UserError, match=r"manifest.json is not the one that was committed"):
        load_protected(str(changed))
    (changed / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest.json is not the one that was committed"):
        load_protected(str(changed))


def test_an_image_that_is_gone_is_named(outputs, tmp_path):
    place = shutil.copytree(outputs / "imagefolder", tmp_path / "place")
    images = load_protected(str(place))
    (place / "data" / "Bob").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"place: Bob/\d+.png: cannot read"):
        images[0]
