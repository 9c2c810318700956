"""The first images of every class of a Parquet data set, as one Parquet file.

    python benchmarks/subset.py --input train.parquet --output cifar10-5k.parquet --per-class 500

Measurements on a CPU use a part of a data set; this says which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import tyro


@dataclass(frozen=True)
class Subset:
    """Which part of which file."""

    input: str
    output: str
    per_class: int


def main(options: Subset) -> None:
    table = pq.read_table(options.input)
    labels = table["label"].to_numpy()
    rows = np.concatenate([np.flatnonzero(labels == label)[: options.per_class] for label in np.unique(labels)])
    pq.write_table(table.take(np.sort(rows)), options.output)  # the class names are in the schema, which stays


if __name__ == "__main__":
    main(tyro.cli(Subset, description=__doc__))
