"""Images of an output are read beside their originals, in every format, and before it is committed."""

import numpy as np
import pytest

from tests.outputs import make_output, make_photos
from ue_ray.evaluation.before_after import before_and_after
from ue_ray.images.codec import decode
from ue_ray.images.quality import Likeness
from ue_ray.protection.looks import Look
from ue_ray.storage.inputs.listing import sample_id
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Handling
from ue_ray.storage.outputs.formats import FORMATS


@pytest.mark.parametrize("format", FORMATS)
def test_each_image_stands_beside_its_original(tmp_path, format):
    photos = make_photos(tmp_path / "photos")
    make_output(photos, str(tmp_path / "out"), format)  # shards of five
    source = open_source(str(photos))
    listing = source.list()
    keys = ["ada/8.png", "Bob/1.png", "ada/0.png"]
    shards = {key: listing.table["key"].to_pylist().index(key) // 5 for key in keys}
    looks = [Look(sample_id(key), 0, shard, Likeness()) for key, shard in shards.items()]
    handling = Handling(format=format)
    names = listing.class_names
    items = before_and_after(looks, source, listing.table, str(tmp_path / "out"), handling, names)
    assert [items[sample_id(key)].key for key in keys] == keys
    assert {item.label for item in items.values()} == {"ada", "Bob"}
    for item in items.values():
        assert np.array_equal(item.clean, decode((photos / item.key).read_bytes()).rgb)
        assert item.max_abs_delta == pytest.approx(8 / 255)
    (photos / "ada" / "8.png").unlink()  # since it was protected
    items = before_and_after(looks, source, listing.table, str(tmp_path / "out"), handling, names)
    assert {item.key for item in items.values()} == {*keys[1:]}
