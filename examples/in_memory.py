"""Craft a noise on images in memory, keep it, and add it to them: no Ray, no files.

python examples/in_memory.py
"""

import tempfile

import numpy as np

import ue_ray

rng = np.random.default_rng(0)
colours = rng.integers(60, 200, (2, 1, 1, 3))
labels = np.arange(64) % 2
images = (colours[labels] + rng.integers(-40, 40, (64, 24, 24, 3))).clip(0, 255).astype(np.uint8)

artifact = ue_ray.craft(images, labels, class_names=["ada", "bob"], epsilon="8/255", data_fraction=1.0, max_rounds=5)
folder = tempfile.mkdtemp()
artifact.save(folder)

protected = ue_ray.load_noise(folder).protect(images, labels)
change = np.abs(np.stack(protected).astype(int) - images)
assert 0 < change.max() <= 8, "every change is within the budget"
print(f"64 images, largest change {change.max()}/255, error {artifact.record['error']:.2f}")
