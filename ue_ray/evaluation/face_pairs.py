"""Verification: do two images show the same person? By the cosine similarity of a network's features (Appendix G)."""

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
DRAWN = 100  # points of a ROC curve that are kept


@dataclass(frozen=True)
class Verification:
    """``pairs``: how many, half of them of one person. ``auc``: the area under the ROC curve. ``accuracy`` and
    ``spread``: mean and standard deviation over ten folds, the threshold of each chosen on the nine others. ``roc``:
    points (false positive rate, true positive rate)."""

    pairs: int
    auc: float
    accuracy: float
    spread: float
    roc: list[tuple[float, float]]


def draw_pairs(labels: np.ndarray, rows: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs among ``rows``, int64 [n,2], and whether both have one label, bool [n]: at most ``MOST_PAIRS`` of each
    kind, and as many of the one as of the other. None are drawn twice."""
    generator = np.random.default_rng(seed)
    alike = _alike(labels, rows)
    unlike = len(rows) * (len(rows) - 1) // 2 - len(alike)
    count = min(MOST_PAIRS, len(alike), unlike)
    pairs = np.concatenate([alike[generator.choice(len(alike), count, False)], _unlike(labels, rows, count, generator)])
    order = generator.permutation(2 * count)
    return pairs[order], order < count


def _alike(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """All pairs of one label."""
    found = [np.zeros((0, 2), np.int64)]
    for label in np.unique(labels[rows]):
        of = rows[labels[rows] == label]
        found.append(np.stack([of[side] for side in np.triu_indices(len(of), 1)], axis=1))
    return np.concatenate(found)


def _unlike(labels: np.ndarray, rows: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """``count`` pairs of two labels: of 100,000 photos there are five billion, so they are drawn, not listed."""
    found = np.zeros((0, 2), np.int64)
    while len(found) < count:
        drawn = np.sort(rows[generator.integers(len(rows), size=(2 * count, 2))], axis=1)
        found = np.unique(np.concatenate([found, drawn[labels[drawn[:, 0]] != labels[drawn[:, 1]]]]), axis=0)
    return found[generator.choice(len(found), count, False)]


@torch.inference_mode()
def features(network: nn.Module, data: LabelledImages, compute: Compute, batch_size: int = 500) -> Tensor:
    """What the network's last linear layer sees, each of length 1: float32 [n,F] on the CPU."""
    *_, last = (module for module in network.modules() if isinstance(module, nn.Linear))
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].float().cpu()))
    network.eval()
    pixels, _ = tensors(data)
    try:
        for start in range(0, len(data), batch_size):
            network(compute.images(pixels[start : start + batch_size]))
    finally:
        hook.remove()
    return functional.normalize(torch.cat(seen))


def verify_pairs(found: Tensor, labels: np.ndarray, rows: np.ndarray, seed: int = 0) -> Verification | None:
    """Of pairs among ``rows``, by the ``features`` of all images; None where there are fewer than ten of a kind."""
    pairs, same = draw_pairs(labels, rows, seed)
    if len(pairs) < 2 * FOLDS:
        return None
    similarity = (found[pairs[:, 0]] * found[pairs[:, 1]]).sum(1).numpy()
    false, true = roc(similarity, same)
    accuracies = fold_accuracies(similarity, same)
    kept = np.unique(np.linspace(0, len(false) - 1, DRAWN).round().astype(int))
    return Verification(
        pairs=len(pairs),
        auc=float(np.trapezoid(true, false)),
        accuracy=float(np.mean(accuracies)),
        spread=float(np.std(accuracies)),
        roc=[(float(false[k]), float(true[k])) for k in kept],
    )


def roc(similarity: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1); equal similarities are one threshold."""
    order = np.argsort(-similarity, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(similarity[order])), len(order) - 1)
    true, false = (np.cumsum(kind[order])[ends] / kind.sum() for kind in (same, ~same))
    return np.append(0.0, false), np.append(0.0, true)


def fold_accuracies(similarity: np.ndarray, same: np.ndarray) -> Sequence[float]:
    """Of each of ten folds, the share judged rightly by the threshold that judges most of the other nine rightly."""
    fold = np.arange(len(same)) % FOLDS
    found = []
    for out in range(FOLDS):
        threshold = _best_threshold(similarity[fold != out], same[fold != out])
        found.append(float(np.mean((similarity[fold == out] >= threshold) == same[fold == out])))
    return found


def _best_threshold(similarity: np.ndarray, same: np.ndarray) -> float:
    order = np.argsort(-similarity, kind="stable")
    right = np.cumsum(np.where(same[order], 1, -1))  # taken for pairs down to here: those that are, less those not
    best = int(np.argmax(right))
    if right[best] <= 0:
        return np.inf
    return float(similarity[order][best : best + 2].mean())  # half-way to the next, which is not taken for a pair
