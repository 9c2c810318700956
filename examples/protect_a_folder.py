"""Protect a folder of class folders, and read the result again, every byte of it.

python examples/protect_a_folder.py [FOLDER OUTPUT]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import ue_ray


def make_photos(root: Path) -> None:
    """Twenty small pictures of two people."""
    rng = np.random.default_rng(0)
    for number in range(20):
        place = root / ("ada", "bob")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(place)


if len(sys.argv) == 3:
    photos, output = sys.argv[1:]
else:
    photos, output = (f"{tempfile.mkdtemp()}/{name}" for name in ("photos", "protected"))
    make_photos(Path(photos))

manifest = ue_ray.protect(photos, output, epsilon="8/255", max_rounds=2)
verification = ue_ray.verify(output, photos)
assert verification.faults == [], "the output is what was committed, and within the budget"
assert manifest.protected + manifest.rejected == manifest.inputs
print(f"{manifest}; {verification.summary}")
