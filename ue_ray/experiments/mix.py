"""A training set put together of clean and protected images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ue_ray.errors import UserError
from ue_ray.evaluation import DataSet
from ue_ray.experiments.base import Mix
from ue_ray.sampling import stratified_rows


def compose(mix: Mix, clean: DataSet, protected: Mapping[str, DataSet], seed: int = 0) -> DataSet:
    """The images of ``clean`` that ``mix`` asks for, each with its noise: those of ``protected`` have the same ids.

    Which images are protected depends on ``seed``, the fraction and the classes alone, not on the noise. Raises
    UserError for an image that has no protected twin.
    """
    carried = np.full(len(clean.labels), -1)  # which of the mix's noises; -1: none
    if mix.noises:
        rows = stratified_rows(clean.labels, mix.fraction, seed) if mix.fraction < 1 else np.arange(len(carried))
        if mix.classes is not None:
            rows = rows[np.isin(clean.labels[rows], mix.classes)]
        carried[rows] = np.random.default_rng([seed, 1]).integers(len(mix.noises), size=len(carried))[rows]
    images = clean.images.copy()
    for number, name in enumerate(mix.noises):
        here = np.flatnonzero(carried == number)
        images[here] = _twins(protected[name], name, clean, here)
    if mix.added is not None:
        here = np.flatnonzero(carried >= 0)
        change = _twins(protected[mix.added], mix.added, clean, here).astype(np.int16) - clean.images[here]
        images[here] = (images[here] + change).clip(0, 255).astype(np.uint8)
    kept = {"all": carried >= -1, "clean": carried < 0, "protected": carried >= 0}[mix.part]
    ids = [sample_id for sample_id, keep in zip(clean.sample_ids, kept, strict=True) if keep]
    return DataSet(images[kept], clean.labels[kept], ids, clean.class_names, clean.rejected)


def _twins(data: DataSet, name: str, clean: DataSet, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    row_of = {sample_id: row for row, sample_id in enumerate(data.sample_ids)}
    try:
        return data.images[[row_of[clean.sample_ids[row]] for row in rows]]
    except KeyError as missing:
        raise UserError(f"{name}: has no image {missing.args[0]}") from None
