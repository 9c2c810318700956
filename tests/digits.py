"""Small real images for tests, decoded: the first digits of each class of mnist5k."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from ue_ray.storage.inputs.blocks import Block, block_plan, decode_block
from ue_ray.storage.inputs.listing import Listing
from ue_ray.storage.inputs.open_source import open_source


@cache
def digits(per_class: int, classes: int = 10) -> tuple[object, Listing, np.ndarray]:
    """(source, listing, rows): ``rows`` holds ``per_class`` rows of each of the first ``classes`` digits."""
    source = open_source("mnist5k")
    listing = source.list()
    labels = listing.labels()
    rows = np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in range(classes)])
    return source, listing, np.sort(rows)


def digit_blocks(per_class: int, side: int = 16, classes: int = 10) -> Callable[[], Iterator[Block]]:
    """A stream of blocks, as a worker gets it."""
    source, listing, rows = digits(per_class, classes)
    blocks = [decode_block(source, listing.table, part, side) for part in block_plan(rows, 0)]
    return lambda: iter(blocks)
