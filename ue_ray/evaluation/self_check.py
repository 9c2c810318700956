"""A quick check of a noise on some of the images that it is for: what a small network learns from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ue_ray.evaluation.recipes import RECIPES
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.evaluation.victim import run_victim
from ue_ray.images.codec import resize
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import open_noise
from ue_ray.storage.inputs.blocks import stratified_rows
from ue_ray.storage.inputs.listing import NO_LABEL

NETWORK = "resnet9"
LARGEST_SIDE = 64  # pixels at which the network sees images
MOST_PIXELS = 1000 * 32**2  # of all images together: some ten seconds on a core
A_CLASS = 60  # images, unless there are too few classes to fill the check with
LEAST = 20  # images of a class: of fewer a network learns too little
HELD_OUT = 0.25  # of each class, to judge by
LEAST_GAIN = 0.2  # over chance, of the network trained on clean images: below it, it has learnt too little to compare
MOST_LEARNT = 0.5  # share of that gain that a network may still learn from protected images


@dataclass(frozen=True)
class SelfCheck:
    """Balanced accuracies in [0, 1] on clean images kept back, of networks trained on clean and on protected ones.

    ``images``: how many both were trained on; ``chance``: one over the number of classes.
    """

    images: int
    chance: float
    clean: float
    protected: float

    @property
    def learnt(self) -> float | None:
        """The share of what clean images teach that is still learnt; None where those teach too little to say."""
        gain = self.clean - self.chance
        return None if gain < LEAST_GAIN else max(0.0, (self.protected - self.chance) / gain)

    @property
    def weak(self) -> bool:
        return self.learnt is not None and self.learnt > MOST_LEARNT

    def __str__(self) -> str:
        says = f"trained on {self.images:,} images, a network knows {100 * self.clean:.0f} % of others, and " + (
            f"{100 * self.protected:.0f} % when they carry the noise; chance is {100 * self.chance:.0f} %"
        )
        return says if self.learnt is not None else f"{says}: too few images to tell"


def rows_to_check(labels: np.ndarray, side: int, seed: int) -> np.ndarray:
    """Returns rows to check a noise on: int64 [n], sorted; ``labels`` int64 [N], ``side`` that of the images.

    They are so few that the check stays quick, and of so few classes, the largest, that a network can learn them: of
    small classes more, or there would be too few images to judge by. There are none where no two classes have LEAST.
    """
    most = MOST_PIXELS // min(side, LARGEST_SIDE) ** 2
    names, sizes = np.unique(labels[labels != NO_LABEL], return_counts=True)
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes >= LEAST)]
    largest = names[order][: np.count_nonzero(np.cumsum(np.minimum(sizes[order], A_CLASS)) <= most)]
    if len(largest) < 2:
        return np.empty(0, np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    own = [order[labels[order] == name][: most // len(largest)] for name in largest]
    return np.sort(np.concatenate(own))


def check_noise(images: LabelledImages, artifact: NoiseArtifact, compute: Compute, seed: int = 0) -> SelfCheck | None:
    """Trains the network twice, by the fast recipe.

    ``images``: a few of each class, at the side at which the noise sees them; at least two classes. ``class_names``
    are the noise's; the networks are to tell those apart of which there are enough images. Returns None where those
    are not two.
    """
    counts = np.bincount(images.labels)
    images = images.take(counts[images.labels] >= LEAST)
    if np.count_nonzero(counts >= LEAST) < 2:
        return None
    held_out = stratified_rows(images.labels, HELD_OUT, seed)
    train = images.take(np.setdiff1d(np.arange(len(images)), held_out))
    noise = open_noise(artifact, compute)
    protected = replace(train, images=np.stack(noise.protect(list(train.images), train.labels, train.sample_ids)))
    recipe = RECIPES["fast"]
    plan = TrainingPlan(NETWORK, recipe.epochs, seed, 32, recipe.learning_rate, "crop-flip", "fast")
    kept = _seen(images.take(held_out), images.labels)
    clean_score, score = (
        run_victim(_seen(each, images.labels), kept, name, "none", plan, compute)["balanced_test_accuracy"]
        for name, each in (("clean", train), ("protected", protected))
    )
    return SelfCheck(len(train), 1 / len(np.unique(images.labels)), clean_score, score)


def _seen(images: LabelledImages, all_labels: np.ndarray) -> LabelledImages:
    """Returns the images as the networks see them, with the labels that there are numbered from 0."""
    side, present = min(images.images.shape[1], LARGEST_SIDE), np.unique(all_labels)
    return replace(
        images,
        images=np.stack([resize(image, side) for image in images.images]),
        labels=np.searchsorted(present, images.labels),
        class_names=[images.class_names[label] for label in present],
    )
