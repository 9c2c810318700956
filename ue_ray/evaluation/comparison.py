"""Measures the change between clean and protected images, at their own size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ue_ray.evaluation.gallery import GalleryItem
from ue_ray.storage.inputs.listing import Listing, Source
from ue_ray.storage.inputs.samples import Sample, decode_rows


@dataclass(frozen=True)
class Comparison:
    """Clean and protected images of the same sample_id.

    ``aligned``: the samples that can be decoded in both; ``missing``: the clean ones that are not protected;
    ``resized``: the aligned ones of two sizes, whose change is unknown; ``max_abs_delta`` and ``mean_abs_delta``: the
    change of the others in [0, 1] units, at the images' own size; None where there are none.
    """

    aligned: int
    missing: int
    resized: int
    max_abs_delta: float | None
    mean_abs_delta: float | None
    gallery: list[GalleryItem]


def compare(sources: tuple[Source, Source], clean: Listing, protected: Listing, gallery: int = 10) -> Comparison:
    """Decodes pair by pair, and measures the change. The gallery has one image each of at most ``gallery`` classes.

    ``sources``: of ``clean`` and ``protected``, whose rows are aligned by sample_id. The mean is over images.
    """
    left, right, alone = _aligned(clean.table, protected.table)
    aligned, resized, missing, largest, total = 0, 0, 0, 0, 0.0
    items: dict[int, GalleryItem] = {}
    for before, after in zip(decode_rows(sources[0], left), decode_rows(sources[1], right), strict=True):
        if not isinstance(before, Sample):
            continue
        if not isinstance(after, Sample):
            missing += 1
            continue
        aligned += 1
        if before.image.shape != after.image.shape:
            resized += 1
            continue
        change = np.abs(before.image.astype(np.int16) - after.image)
        largest, total = max(largest, int(change.max())), total + float(change.mean())
        if before.label not in items and len(items) < gallery:
            name = clean.class_names[before.label]
            items[before.label] = GalleryItem.of(before.key, name, before.image, after.image)
    measured = aligned - resized
    missing += sum(isinstance(row, Sample) for row in decode_rows(sources[0], alone))
    ordered = [items[label] for label in sorted(items)]
    if not measured:
        return Comparison(aligned, missing, resized, None, None, ordered)
    return Comparison(aligned, missing, resized, largest / 255, total / measured / 255, ordered)


def _aligned(clean: pa.Table, protected: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Returns the rows of both, in the order of ``clean``, that share a sample_id, and the other rows of ``clean``."""
    row_of = {sample_id: row for row, sample_id in enumerate(protected["sample_id"].to_pylist())}
    twins = np.array([row_of.get(sample_id, -1) for sample_id in clean["sample_id"].to_pylist()], np.int64)
    left, alone = np.flatnonzero(twins >= 0), np.flatnonzero(twins < 0)
    return clean.take(left), protected.take(twins[left]), clean.take(alone)
