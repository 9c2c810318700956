"""A Ray Data pipeline of one's own in which one stage adds a noise that was crafted before.

python examples/a_ray_data_pipeline.py
"""

import os
import tempfile

import numpy as np
import ray

import ue_ray
from ue_ray.ray_data import Protect

folder = tempfile.mkdtemp()
images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
labels = np.arange(40) % 2
ue_ray.craft(images, labels, epsilon="8/255", max_rounds=2).save(f"{folder}/noise")

if not ray.is_initialized():
    ray.init(address=os.environ.get("RAY_ADDRESS", "local"), include_dashboard=False)
rows = [{"id": row, "image": images[row], "label": int(labels[row])} for row in range(40)]
dataset = ray.data.from_items(rows).map_batches(
    Protect, fn_constructor_args=(f"{folder}/noise",), batch_size=16, concurrency=1
)
changes = [np.abs(row["image"].astype(int) - images[row["id"]]).max() for row in dataset.iter_rows()]
assert len(changes) == 40
assert 0 < max(changes) <= 8, "every change is within the budget"
print(f"{len(changes)} images through the pipeline, largest change {max(changes)}/255")
