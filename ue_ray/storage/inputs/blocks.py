"""Which rows the noise is crafted on, and in which blocks they travel. No torch: what reads them starts at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ue_ray.images.codec import resize
from ue_ray.images.labelled import LabelledImages
from ue_ray.storage.inputs.listing import NO_LABEL, Source
from ue_ray.storage.inputs.samples import DEFAULT_HANDLING, Handling, Sample, decode_rows

BLOCK_ROWS = 128
LARGEST_PROBED = 224  # ImageNet's usual side: above it, surrogates see images shrunk


@dataclass(frozen=True)
class Block:
    """Decoded rows of the input, as they travel; ``positions`` int64 [n] are their rows in the listing."""

    positions: np.ndarray
    rows: LabelledImages


def stratified_rows(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Rows of a ``fraction`` of every class (at least one each), drawn by ``seed``, in listing order: int64 [n]."""
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    sorted_labels = labels[by_class]
    first = np.searchsorted(sorted_labels, sorted_labels, side="left")
    size = np.searchsorted(sorted_labels, sorted_labels, side="right") - first
    rank_in_class = np.arange(len(labels)) - first
    chosen = (rank_in_class < np.maximum(1, np.rint(size * fraction))) & (sorted_labels != NO_LABEL)
    return np.sort(by_class[chosen])


def block_plan(rows: np.ndarray, seed: int) -> list[np.ndarray]:
    """``rows`` cut into blocks of neighbours (read together), the blocks in an order drawn by ``seed``."""
    blocks = [rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]
    return [blocks[i] for i in np.random.default_rng(seed).permutation(len(blocks))]


def decode_block(
    source: Source, table: pa.Table, rows: np.ndarray, side: int, handling: Handling = DEFAULT_HANDLING
) -> Block:
    """Read and decode ``rows`` of the listing at the surrogate's size; undecodable ones are left out."""
    positions, images, labels, sample_ids = [], [], [], []
    for position, entry in zip(rows, decode_rows(source, table.take(rows), handling), strict=True):
        if isinstance(entry, Sample):
            positions.append(position)
            images.append(resize(entry.image, side))
            labels.append(entry.label)
            sample_ids.append(entry.sample_id)
    stacked = np.stack(images) if images else np.empty((0, side, side, 3), np.uint8)
    return Block(np.array(positions, np.int64), LabelledImages(stacked, np.array(labels, np.int64), sample_ids))


def natural_side(shapes: Sequence[tuple[int, int]]) -> int:
    """The side at which a surrogate sees images of these (height, width): the largest among them, at most 224."""
    return min(LARGEST_PROBED, max((max(shape) for shape in shapes), default=LARGEST_PROBED))
