"""A training set put together of clean and protected images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ue_ray.errors import UserError
from ue_ray.experiments.base import Mix
from ue_ray.images.labelled import LabelledImages
from ue_ray.storage.inputs.blocks import stratified_rows


def compose(
    mix: Mix,
    clean: LabelledImages,
    protected: Mapping[str, LabelledImages],
    other: LabelledImages | None = None,
    seed: int = 0,
) -> LabelledImages:
    """The images of ``clean`` that ``mix`` asks for, each with its noise: those of ``protected`` have the same ids.

    Which images are protected depends on ``seed``, the fraction and the classes alone, not on the noise. A mix that is
    ``joined`` adds them to ``other``. Raises UserError for an image that has no protected twin.
    """
    count = len(clean.labels)
    chosen = np.zeros(count, bool)
    chosen[stratified_rows(clean.labels, mix.fraction, seed) if mix.fraction < 1 else slice(None)] = True
    if mix.classes is not None:
        chosen &= np.isin(clean.labels, mix.classes)
    images = clean.images.copy()
    which = np.random.default_rng([seed, 1]).integers(max(1, len(mix.noises)), size=count)
    for number, name in enumerate(mix.noises):
        here = np.flatnonzero(chosen & (which == number))
        images[here] = _twins(protected[name], name, clean, here)
    if mix.added is not None:
        here = np.flatnonzero(chosen)
        change = _twins(protected[mix.added], mix.added, clean, here).astype(np.int16) - clean.images[here]
        images[here] = (images[here] + change).clip(0, 255).astype(np.uint8)
    if mix.positive:
        images = np.maximum(images, clean.images)
    kept = {"all": np.ones(count, bool), "clean": ~chosen, "protected": chosen}[mix.part]
    data = replace(clean, images=images).take(kept)
    return joined(other, data) if mix.joined and other is not None else data


def joined(host: LabelledImages, guest: LabelledImages) -> LabelledImages:
    """The images of both; the classes that ``guest`` has images of come behind those of ``host``."""
    classes, labels = np.unique(guest.labels, return_inverse=True)
    return LabelledImages(
        np.concatenate([host.images, guest.images]),
        np.concatenate([host.labels, labels + len(host.class_names)]),
        [*host.sample_ids, *guest.sample_ids],
        [*host.class_names, *(f"{guest.class_names[k]} (added)" for k in classes)],
        host.rejected + guest.rejected,
    )


def _twins(data: LabelledImages, name: str, clean: LabelledImages, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    row_of = {sample_id: row for row, sample_id in enumerate(data.sample_ids)}
    try:
        return data.images[[row_of[clean.sample_ids[row]] for row in rows]]
    except KeyError as missing:
        raise UserError(f"{name}: has no image {missing.args[0]}") from None
