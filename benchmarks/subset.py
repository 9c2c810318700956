"""The first images of every class of a Parquet data set, or of some classes, as one Parquet file.

    python benchmarks/subset.py --input train.parquet --output cifar10-5k.parquet --per-class 500

Measurements on a CPU use a part of a data set; this says which.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro

NAMES = b"huggingface"  # where the schema says what the classes are called


@dataclass(frozen=True)
class Subset:
    """Which part of which file, or of a folder of files. ``classes``: names, separated by commas; all if empty."""

    input: str
    output: str
    per_class: int
    classes: str = ""


def main(options: Subset) -> None:
    table = pq.read_table(options.input)
    if options.classes:
        table = only(table, options.classes.split(","))
    labels = table["label"].to_numpy()
    rows = np.concatenate([np.flatnonzero(labels == label)[: options.per_class] for label in np.unique(labels)])
    pq.write_table(table.take(np.sort(rows)), options.output)  # the class names are in the schema, which stays


def only(table: pa.Table, names: list[str]) -> pa.Table:
    """The rows of these classes, numbered in the order of ``names``."""
    said = json.loads(table.schema.metadata[NAMES])
    feature = said["info"]["features"]["label"]
    number_of = {feature["names"].index(name): number for number, name in enumerate(names)}
    feature["names"] = names
    kept = table.filter(pa.array([label in number_of for label in table["label"].to_pylist()]))
    labels = pa.array([number_of[label] for label in kept["label"].to_pylist()], pa.int64())
    return kept.set_column(kept.schema.get_field_index("label"), "label", labels).replace_schema_metadata(
        {**table.schema.metadata, NAMES: json.dumps(said)}
    )


if __name__ == "__main__":
    main(tyro.cli(Subset, description=__doc__))
