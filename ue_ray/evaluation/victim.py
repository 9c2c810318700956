"""The parts of an evaluation, without Ray: loading images, the control, one victim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures import Countermeasure, parse
from ue_ray.evaluation.face_pairs import features, score_pairs
from ue_ray.evaluation.training import Epoch, TrainingPlan, train_classifier
from ue_ray.images.labelled import LabelledImages, joined
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.methods import open_noise
from ue_ray.storage.inputs.blocks import BLOCK_ROWS, decode_block
from ue_ray.storage.inputs.listing import Listing, Source

CONTROLS = ("random",)
RECOGNISED = 0.3  # the informedness from which on a class counts as recognised
MOST_CONFUSED = 100  # results keep the confusion matrix of no more classes: people and browsers read them


def load_data_set(
    source: Source, listing: Listing, side: int, class_names: Sequence[str] | None = None
) -> LabelledImages:
    """Decodes all images of ``source``, as listed, and resizes them to ``side`` pixels a side.

    Labels are indices into ``class_names``, those of the listing where none are given; a class is found by its name.
    Raises UserError if no image can be decoded.
    """
    parts = np.split(np.arange(len(listing)), range(BLOCK_ROWS, len(listing), BLOCK_ROWS))
    blocks = (decode_block(source, listing.table, rows, side).rows for rows in parts)
    images = joined(blocks, source.uri, len(listing), side, listing.class_names)
    return images if class_names is None else images.in_classes(class_names)


def random_control(clean: LabelledImages, budget: Budget, seed: int = 0) -> LabelledImages:
    """Returns ``clean`` with sample-wise uniform noise of the same budget, to show what any noise of that size does.

    The noise is drawn at the size that victims see. Where photos are shrunk for victims, it is a little stronger than
    noise on the photos would be.
    """
    side = clean.images.shape[1]
    config = NoiseConfig("random", "sample-wise", budget, tuple(clean.class_names), side, side, seed=seed)
    noise = open_noise(NoiseArtifact(config), Compute.detect("cpu"))
    images = np.empty_like(clean.images)
    for start in range(0, len(images), 256):
        rows = slice(start, start + 256)
        images[rows] = np.stack(noise.protect(list(clean.images[rows]), clean.labels[rows], clean.sample_ids[rows]))
    return replace(clean, images=images)


def purified(data: LabelledImages, countermeasure: Countermeasure) -> LabelledImages:
    """Returns ``data`` with its images purified by the countermeasure, as a taker trains on them."""
    return replace(data, images=countermeasure.purify_all(data.images, data.labels))


def purified_test(data: LabelledImages, countermeasure: Countermeasure) -> LabelledImages:
    """Returns test images as a taker who uses the countermeasure is tested on them."""
    return replace(data, images=countermeasure.purify_test(data.images))


def check_class_names(names: Mapping[str, Sequence[str]], reference: str) -> None:
    """Raises UserError for a data set that has a class which the data set ``reference`` does not have.

    ``names``: the class names, by what the message calls the data set. Their order does not matter,
    and a class may be absent.
    """
    known = names[reference]
    for role, classes in names.items():
        if strange := [name for name in classes if name not in set(known)]:
            raise UserError(
                f"{role} has classes that {reference} does not have: {_first(strange)}; "
                f"{reference} has {len(known)}: {_first(known)}"
            )


def _first(names: Sequence[str], count: int = 10) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def run_victim(
    train: LabelledImages,
    test: LabelledImages,
    train_set: str,
    countermeasure: str,
    plan: TrainingPlan,
    compute: Compute,
    pair_classes: Sequence[int] = (),
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> dict[str, Any]:
    """Trains one victim; returns its entry in results.json: accuracies in [0, 1], and the curve epoch by epoch.

    ``train``: already ``purified``; ``train_set`` and ``countermeasure`` say what it is. ``pair_classes``: the people
    whose test images, and those of all others, are judged in pairs (``face_pairs``), if any. ``on_epoch`` gets each
    epoch.
    """
    classes = len(train.class_names)
    training = train_classifier(train, test, classes, plan, compute, parse(countermeasure), on_epoch)
    curve, taken = training.curve, training.taken
    peak = max(curve, key=lambda epoch: epoch.test_accuracy)
    confusion = training.confusion.numpy()
    recall, present = recalls(confusion)
    informed = informedness(confusion)
    entry = {
        "victim": plan.model,
        "train_set": train_set,
        "countermeasure": countermeasure,
        "seed": plan.seed,
        "epochs": plan.epochs,
        "recipe": plan.recipe,
        "final_test_accuracy": taken.test_accuracy,
        "chance": test.largest_class,
        "balanced_test_accuracy": float(recall[present].mean()),
        "peak_test_accuracy": peak.test_accuracy,
        "peak_epoch": peak.epoch,
        "informedness": informed.round(4).tolist() if classes <= MOST_CONFUSED else None,
        "recognised_most": train.class_names[int(informed.argmax())],
        "recognised_most_informedness": float(informed.max()),
        "recognised_classes": int((informed > RECOGNISED).sum()),
        "train_accuracy": taken.train_accuracy,
        "curve": [asdict(epoch) for epoch in curve],
        "seconds": sum(epoch.seconds for epoch in curve),
        "confusion": training.confusion.tolist() if classes <= MOST_CONFUSED else None,
    }
    if pair_classes:
        vectors = features(training.network, test, compute)
        entry["verification"] = _group_scores(vectors, test.labels, pair_classes, training.confusion.numpy())
    return entry


def recalls(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the share of each class's images that is recognised, float64 [K], and which classes have any, bool [K].

    ``confusion``: int64 [K,K], rows are the true classes. The mean over the classes that have images is the balanced
    accuracy.
    """
    counts = confusion.sum(1)
    return confusion.diagonal() / counts.clip(1), counts > 0


def informedness(confusion: np.ndarray) -> np.ndarray:
    """Returns how well each class is told from the others, float64 [K] in [-1, 1]: the share of its images that is
    recognised less the share of other images that is taken for it (Powers, 2011).

    1: a class is known; 0: nothing was learnt of it. A class that every image is taken for has 0, though its accuracy
    is 1. ``confusion``: int64 [K,K], rows are the true classes. 0 for a class without images.
    """
    images = confusion.sum(1)
    hits = confusion.diagonal()
    false = (confusion.sum(0) - hits) / (images.sum() - images).clip(1)
    return np.where(images > 0, hits / images.clip(1) - false, 0.0)


def _group_scores(
    vectors: torch.Tensor, labels: np.ndarray, people: Sequence[int], confusion: np.ndarray
) -> dict[str, Any]:
    """Returns the scores of pairs by group of people; a group with too few pairs is left out.

    ``recognised``: the share of a person's images that is recognised, the mean over the people of the group.
    """
    chosen = np.isin(labels, people)
    groups = {"protected": chosen, "others": ~chosen, "everybody": np.ones(len(labels), bool)}
    scores = {name: score_pairs(vectors, labels, np.flatnonzero(group)) for name, group in groups.items()}
    recall, _ = recalls(confusion)
    return {
        name: {"recognised": float(recall[np.unique(labels[groups[name]])].mean()), **asdict(score)}
        for name, score in scores.items()
        if score is not None
    }
