"""Makes test images that carry a class-wise noise, to see whether it is the trigger of a backdoor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import open_noise


def triggered(test: LabelledImages, artifact: NoiseArtifact, seed: int = 0) -> LabelledImages:
    """Returns each image with the delta of another class, drawn at random, and that class as its label.

    The accuracy of a network on them is the success rate of the attack (Appendix H).
    """
    classes = len(test.class_names)
    targets = (test.labels + np.random.default_rng(seed).integers(1, classes, len(test.labels))) % classes
    noise = open_noise(artifact, Compute.detect("cpu"))
    return replace(test, images=np.stack(noise.protect(list(test.images), targets, test.sample_ids)), labels=targets)
