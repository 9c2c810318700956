"""The training and the test images of a data set, as its name or place says."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from ue_ray.distributed.cluster import causes
from ue_ray.errors import UserError
from ue_ray.storage.filesystem import absolute, join, list_names, write_bytes
from ue_ray.storage.inputs.blocks import stratified_rows
from ue_ray.storage.inputs.listing import NO_LABEL, Source
from ue_ray.storage.inputs.open_source import BUILTINS, open_source

TRAIN, TEST = "train", "test"
TRAINED_ON = 0.8  # of each class, where there is no division yet: the paper's of WebFace (Section 4.5)


@dataclass(frozen=True)
class Part:
    """Images at ``uri``, those that ``labels`` (a table) names, or all."""

    uri: str
    labels: str | None = None

    @property
    def source(self) -> Source:
        return open_source(self.uri, self.labels)


def parts(data: str, tables: str) -> dict[str, Part]:
    """``train`` and ``test`` of a built-in data set; of a folder with parts so called, as .parquet or as folders; or
    of any other folder of class folders, a fifth of each class for the test, drawn once and written down at ``tables``.

    Raises UserError for anything else.
    """
    if data in BUILTINS:
        return {TRAIN: Part(data), TEST: Part(f"{data}-test")}
    if data.endswith(".parquet"):
        raise UserError(f"{data}: is a file; expected a folder with {TRAIN}.parquet and {TEST}.parquet")
    names = set(list_names(absolute(data)))
    for ending in (".parquet", ""):
        if {f"{TRAIN}{ending}", f"{TEST}{ending}"} <= names:
            return {name: Part(join(data, f"{name}{ending}")) for name in (TRAIN, TEST)}
    found = {name: Part(data, join(tables, f"{name}.parquet")) for name in (TRAIN, TEST)}
    if not {f"{TRAIN}.parquet", f"{TEST}.parquet"} <= set(list_names(tables)):
        source = open_source(data)
        with causes():
            ray.get(_divide.remote(source, tables))
    return found


@ray.remote
def _divide(source: Source, tables: str) -> None:
    listing = source.list()
    labels = listing.table["label"].to_numpy()
    names = np.array(listing.class_names, object)
    trained_on = np.zeros(len(labels), bool)
    trained_on[stratified_rows(labels, TRAINED_ON, seed=0)] = True
    known = labels != NO_LABEL
    if lone := sorted(set(labels[known & trained_on]) - set(labels[known & ~trained_on])):
        raise UserError(f"{source.uri}: class {names[lone[0]]!r} has too few images for a training and a test part")
    for name, rows in ((TEST, known & ~trained_on), (TRAIN, known & trained_on)):
        keys = listing.table["key"].filter(pa.array(rows))
        buffer = BytesIO()
        pq.write_table(pa.table({"key": keys, "label": pa.array(names[labels[rows]], pa.string())}), buffer)
        write_bytes(join(tables, f"{name}.parquet"), buffer.getvalue())
