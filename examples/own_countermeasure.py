"""A countermeasure of one's own: the median of 5x5 pixels. One file, and one line in COUNTERMEASURES.

python examples/own_countermeasure.py
"""

import numpy as np
from PIL import Image, ImageFilter

import ue_ray
from ue_ray.evaluation.countermeasures import COUNTERMEASURES, Countermeasure, parse


class WideMedian(Countermeasure):
    """What is smaller than a few pixels is gone."""

    forms = "wide-median"

    def purify(self, images: np.ndarray) -> np.ndarray:
        return np.stack([np.array(Image.fromarray(image).filter(ImageFilter.MedianFilter(5))) for image in images])


COUNTERMEASURES["wide-median"] = WideMedian

if __name__ == "__main__":
    labels = np.arange(8) % 2
    images = np.full((8, 32, 32, 3), 128, np.uint8)
    artifact = ue_ray.craft(images, labels, method="random", epsilon="8/255")
    protected = np.stack(ue_ray.Protector(artifact).protect(images, labels))
    left = parse("wide-median").purify(protected).astype(int) - 128
    before = protected.astype(int) - 128
    assert left.std() < before.std() / 2, "most of random noise does not outlive a median"
    print(f"noise of {before.std():.1f} levels, {left.std():.1f} after the median")
