"""Confusion matrices: a table of shaded counts, or an image where there are many classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ue_ray.evaluation.measures import Runs, summed_confusion
from ue_ray.evaluation.report.pictures import Picture, picture

MOST_CELLS = 20  # classes whose confusion matrix is a table; of more it is an image
STRONG = 0.7  # a share from which its shade is too dark for the ink of the page
FULL_SHADE = np.array([35, 101, 159])  # the style sheet's --clean, by day


@dataclass(frozen=True)
class Cell:
    """``percent``: the share of the row, by which the cell is shaded."""

    count: int
    percent: str
    strong: bool


@dataclass(frozen=True)
class ConfusionMatrix:
    """Has either ``rows``, by the true class, or a ``picture``."""

    title: str
    class_names: list[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    picture: Picture | None


def confusion_matrix(counts: Sequence[Sequence[int]], class_names: Sequence[str], title: str) -> ConfusionMatrix:
    """``counts`` [K, K]: rows are the true classes, columns what their images were taken for; shaded by the share of
    the row. Classes are numbered where ``class_names`` are not those of the matrix."""
    names = list(class_names) if len(class_names) == len(counts) else [str(k) for k in range(len(counts))]
    shares = np.array(counts) / np.maximum(1, np.sum(counts, axis=1, keepdims=True))
    if len(counts) > MOST_CELLS:
        colours = 255 + shares[..., None] * (FULL_SHADE - 255)
        shades = picture(colours.round().astype(np.uint8), f"{title}, confusion matrix")
        return ConfusionMatrix(title, names, [], shades)
    rows = [
        (name, [Cell(count, f"{100 * share:.0f}", share > STRONG) for count, share in zip(*row, strict=True)])
        for name, *row in zip(names, counts, shares.tolist(), strict=True)
    ]
    return ConfusionMatrix(title, names, rows, None)


def confusion_matrices(groups: Mapping[str, Runs], class_names: Sequence[str]) -> dict[str, list[ConfusionMatrix]]:
    """By the titles of ``groups``: the matrices, summed over seeds, of those runs that kept one."""
    matrices = {
        title: [
            confusion_matrix(counts, class_names, name)
            for name, seeds in runs.items()
            if (counts := summed_confusion(seeds))
        ]
        for title, runs in groups.items()
    }
    return {title: kept for title, kept in matrices.items() if kept}
