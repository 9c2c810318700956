"""The parts of an evaluation, without Ray: loading images, the control, the comparison, one victim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures import Countermeasure, parse
from ue_ray.evaluation.face_pairs import features, score_pairs
from ue_ray.evaluation.gallery import GalleryItem
from ue_ray.evaluation.training import Epoch, TrainingPlan, train_classifier
from ue_ray.images.codec import resize
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.methods import open_noise
from ue_ray.storage.inputs.listing import Listing, Source
from ue_ray.storage.inputs.samples import Sample, decode_rows

CONTROLS = ("random",)
MOST_CONFUSED = 100  # results keep the confusion matrix of no more classes: people and browsers read them


def load_data_set(source: Source, listing: Listing, side: int) -> LabelledImages:
    """Decodes all images of ``source``, as listed, and resizes them to ``side`` pixels a side.

    Raises UserError if no image can be decoded.
    """
    images, labels, sample_ids = [], [], []
    for entry in decode_rows(source, listing.table):
        if isinstance(entry, Sample):
            images.append(resize(entry.image, side))
            labels.append(entry.label)
            sample_ids.append(entry.sample_id)
    if not images:
        raise UserError(f"{source.uri}: none of its {len(listing)} images can be decoded")
    return LabelledImages(
        images=np.stack(images),
        labels=np.array(labels, np.int64),
        sample_ids=sample_ids,
        class_names=listing.class_names,
        rejected=len(listing) - len(images),
    )


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
    return replace(data, images=countermeasure.purify(data.images))


@dataclass(frozen=True)
class Comparison:
    """Clean and protected images of the same sample_id.

    ``aligned``: the samples in both; ``missing``: the clean ones that are not protected; ``max_abs_delta`` and
    ``mean_abs_delta``: the change in [0, 1] units, None where no sample is in both.
    """

    aligned: int
    missing: int
    max_abs_delta: float | None
    mean_abs_delta: float | None
    gallery: list[GalleryItem]


def compare(clean: LabelledImages, protected: LabelledImages, gallery: int = 10) -> Comparison:
    """Measures the change on the images themselves. The gallery has one image each of at most ``gallery`` classes."""
    row_of = {sample_id: row for row, sample_id in enumerate(protected.sample_ids)}
    pairs = [(row, row_of[sample_id]) for row, sample_id in enumerate(clean.sample_ids) if sample_id in row_of]
    missing = len(clean.sample_ids) - len(pairs)
    if not pairs:
        return Comparison(0, missing, None, None, [])
    largest, total = 0, 0.0
    for start in range(0, len(pairs), 256):
        before, after = np.array(pairs[start : start + 256]).T
        change = np.abs(clean.images[before].astype(np.int16) - protected.images[after])
        largest = max(largest, int(change.max()))
        total += float(change.mean(dtype=np.float64)) * len(before)
    items: dict[int, GalleryItem] = {}
    for left, right in pairs:
        label = int(clean.labels[left])
        if label not in items and len(items) < gallery:
            images = clean.images[left].copy(), protected.images[right].copy()
            items[label] = GalleryItem(clean.sample_ids[left], clean.class_names[label], *images)
    ordered = [items[label] for label in sorted(items)]
    return Comparison(len(pairs), missing, largest / 255, total / len(pairs) / 255, ordered)


def check_same_classes(names: dict[str, Sequence[str]]) -> None:
    """Raises UserError unless the class names of all data sets, by role, are the same in the same order."""
    (first_role, first), *others = names.items()
    for role, classes in others:
        if list(classes) != list(first):
            raise UserError(
                f"--{role} has {len(classes)} classes ({', '.join(list(classes)[:5])}, ...), --{first_role} has "
                f"{len(first)} ({', '.join(list(first)[:5])}, ...): they must be the same, in the same order"
            )


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
    entry = {
        "victim": plan.model,
        "train_set": train_set,
        "countermeasure": countermeasure,
        "seed": plan.seed,
        "epochs": plan.epochs,
        "final_test_accuracy": taken.test_accuracy,
        "peak_test_accuracy": peak.test_accuracy,
        "peak_epoch": peak.epoch,
        "train_accuracy": taken.train_accuracy,
        "curve": [asdict(epoch) for epoch in curve],
        "seconds": sum(epoch.seconds for epoch in curve),
        "confusion": training.confusion.tolist() if classes <= MOST_CONFUSED else None,
    }
    if pair_classes:
        vectors = features(training.network, test, compute)
        entry["verification"] = _group_scores(vectors, test.labels, pair_classes, training.confusion.numpy())
    return entry


def _group_scores(
    vectors: torch.Tensor, labels: np.ndarray, people: Sequence[int], confusion: np.ndarray
) -> dict[str, Any]:
    """Returns the scores of pairs by group of people; a group with too few pairs is left out.

    ``recognised``: the share of a person's images that is recognised, the mean over the people of the group.
    """
    chosen = np.isin(labels, people)
    groups = {"protected": chosen, "others": ~chosen, "everybody": np.ones(len(labels), bool)}
    scores = {name: score_pairs(vectors, labels, np.flatnonzero(group)) for name, group in groups.items()}
    recall = confusion.diagonal() / confusion.sum(1).clip(1)
    return {
        name: {"recognised": float(recall[np.unique(labels[groups[name]])].mean()), **asdict(score)}
        for name, score in scores.items()
        if score is not None
    }
