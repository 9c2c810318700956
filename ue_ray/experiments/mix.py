"""Puts a training set together from clean and protected images."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Returns the images of ``clean`` that ``mix`` asks for, each with its noise; behind ``other``, if it is joined.

    ``protected``: images with each noise, by its name; a protected image has the sample_id of its clean twin. ``seed``,
    the fraction and the classes decide which images are protected; the noise does not. Raises UserError for an image
    without a protected twin.
    """
    count = len(clean.labels)
    chosen = np.zeros(count, bool)
    chosen[stratified_rows(clean.labels, mix.fraction, seed) if mix.fraction < 1 else slice(None)] = True
    if mix.classes is not None:
        chosen &= np.isin(clean.labels, mix.classes)
    images = clean.images.copy()
    drawn = np.random.default_rng([seed, 1]).integers(max(1, len(mix.noises)), size=count)
    for number, name in enumerate(mix.noises):
        rows = np.flatnonzero(chosen & (drawn == number))
        images[rows] = _twins(protected[name], name, clean, rows)
    if mix.added is not None:
        rows = np.flatnonzero(chosen)
        change = _twins(protected[mix.added], mix.added, clean, rows).astype(np.int16) - clean.images[rows]
        images[rows] = (images[rows] + change).clip(0, 255).astype(np.uint8)
    if mix.positive:
        images = np.maximum(images, clean.images)
    kept = {"all": np.ones(count, bool), "clean": ~chosen, "protected": chosen}[mix.part]
    data = replace(clean, images=images).take(kept)
    return joined(other, data) if mix.joined and other is not None else data


def joined(host: LabelledImages, guest: LabelledImages) -> LabelledImages:
    """Returns the images of both. The classes of ``guest`` that have images come behind those of ``host``."""
    classes, labels = np.unique(guest.labels, return_inverse=True)
    return LabelledImages(
        np.concatenate([host.images, guest.images]),
        np.concatenate([host.labels, labels + len(host.class_names)]),
        [*host.sample_ids, *guest.sample_ids],
        [*host.class_names, *(f"{guest.class_names[k]} (added)" for k in classes)],
        host.rejected + guest.rejected,
    )


def _twins(data: LabelledImages, name: str, clean: LabelledImages, rows: np.ndarray) -> np.ndarray:
    """Returns the images of ``data`` with the sample_ids of ``clean`` at ``rows``. ``name``: of the noise."""
    row_of = {sample_id: row for row, sample_id in enumerate(data.sample_ids)}
    try:
        return data.images[[row_of[clean.sample_ids[row]] for row in rows]]
    except KeyError as missing:
        raise UserError(f"{name}: has no image {missing.args[0]}") from None
