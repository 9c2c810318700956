"""Judges whether two images show the same person, by the cosine similarity of a network's features.

The paper calls this verification (Appendix G).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ue_ray.evaluation.training import tensors
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute

MOST_PAIRS = 3000  # of each kind, as in the LFW protocol
FOLDS = 10
ROC_POINTS = 100  # that are kept


@dataclass(frozen=True)
class PairScores:
    """How well pairs are judged.

    ``pairs``: their number; half of them are of one person. ``auc``: the area under the ROC curve. ``accuracy`` and
    ``spread``: mean and standard deviation over ten folds, in [0, 1]; the threshold for each fold is chosen on the
    other nine. ``roc``: points (false positive rate, true positive rate).
    """

    pairs: int
    auc: float
    accuracy: float
    spread: float
    roc: list[tuple[float, float]]


def draw_pairs(labels: np.ndarray, rows: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws pairs among ``rows``: returns the pairs, int64 [n,2], and whether both images have one label, bool [n].

    Half of them are of one label. No pair is drawn twice, and at most ``MOST_PAIRS`` of each kind are drawn.
    """
    generator = np.random.default_rng(seed)
    same = _same_label_pairs(labels, rows)
    others = len(rows) * (len(rows) - 1) // 2 - len(same)
    count = min(MOST_PAIRS, len(same), others)
    drawn = same[generator.choice(len(same), count, False)]
    pairs = np.concatenate([drawn, _draw_other_pairs(labels, rows, count, generator)])
    order = generator.permutation(2 * count)
    return pairs[order], order < count


def _same_label_pairs(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns all pairs of one label."""
    pairs = [np.zeros((0, 2), np.int64)]
    for label in np.unique(labels[rows]):
        members = rows[labels[rows] == label]
        pairs.append(np.stack([members[side] for side in np.triu_indices(len(members), 1)], axis=1))
    return np.concatenate(pairs)


def _draw_other_pairs(labels: np.ndarray, rows: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draws ``count`` pairs of two labels. They are not listed: 100,000 photos have five billion."""
    pairs = np.zeros((0, 2), np.int64)
    while len(pairs) < count:
        drawn = np.sort(rows[generator.integers(len(rows), size=(2 * count, 2))], axis=1)
        pairs = np.unique(np.concatenate([pairs, drawn[labels[drawn[:, 0]] != labels[drawn[:, 1]]]]), axis=0)
    return pairs[generator.choice(len(pairs), count, False)]


@torch.inference_mode()
def features(network: nn.Module, data: LabelledImages, compute: Compute, batch_size: int = 500) -> Tensor:
    """Returns the input of the network's last linear layer for each image, scaled to length 1: float32 [n,F], on the
    CPU."""
    *_, last = (module for module in network.modules() if isinstance(module, nn.Linear))
    batches: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda module, inputs: batches.append(inputs[0].float().cpu()))
    network.eval()
    pixels, _ = tensors(data)
    try:
        for start in range(0, len(data), batch_size):
            network(compute.images(pixels[start : start + batch_size]))
    finally:
        hook.remove()
    return functional.normalize(torch.cat(batches))


def score_pairs(vectors: Tensor, labels: np.ndarray, rows: np.ndarray, seed: int = 0) -> PairScores | None:
    """Judges pairs among ``rows`` by the ``vectors`` of all images (``features``), float32 [n,F].

    Returns None where there are fewer than ten pairs of a kind.
    """
    pairs, same = draw_pairs(labels, rows, seed)
    if len(pairs) < 2 * FOLDS:
        return None
    similarity = (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(1).numpy()
    false, true = roc(similarity, same)
    accuracies = fold_accuracies(similarity, same)
    kept = np.unique(np.linspace(0, len(false) - 1, ROC_POINTS).round().astype(int))
    return PairScores(
        pairs=len(pairs),
        auc=float(np.trapezoid(true, false)),
        accuracy=float(np.mean(accuracies)),
        spread=float(np.std(accuracies)),
        roc=[(float(false[k]), float(true[k])) for k in kept],
    )


def roc(similarity: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the false and the true positive rates at every threshold, from (0, 0) to (1, 1).

    Equal similarities are one threshold.
    """
    order = np.argsort(-similarity, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(similarity[order])), len(order) - 1)
    true, false = (np.cumsum(kind[order])[ends] / kind.sum() for kind in (same, ~same))
    return np.append(0.0, false), np.append(0.0, true)


def fold_accuracies(similarity: np.ndarray, same: np.ndarray) -> Sequence[float]:
    """Returns the share of each of ten folds that is judged rightly, by the best threshold of the other nine."""
    fold = np.arange(len(same)) % FOLDS
    shares = []
    for k in range(FOLDS):
        threshold = _best_threshold(similarity[fold != k], same[fold != k])
        shares.append(float(np.mean((similarity[fold == k] >= threshold) == same[fold == k])))
    return shares


def _best_threshold(similarity: np.ndarray, same: np.ndarray) -> float:
    order = np.argsort(-similarity, kind="stable")
    gain = np.cumsum(np.where(same[order], 1, -1))  # of those above a threshold: of one person, less of two
    best = int(np.argmax(gain))
    if gain[best] <= 0:
        return np.inf
    return float(similarity[order][best : best + 2].mean())  # half-way to the next similarity
