"""Finds the training and the test images of a data set, or divides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from ue_ray.errors import UserError
from ue_ray.storage.filesystem import absolute, join, list_names, write_bytes
from ue_ray.storage.inputs.blocks import stratified_rows
from ue_ray.storage.inputs.builtin import TEST_OF
from ue_ray.storage.inputs.listing import NO_LABEL, Source, key_hash
from ue_ray.storage.inputs.open_source import BUILTINS, open_source
from ue_ray.storage.inputs.options import OF_BUILTINS, SELECTING
from ue_ray.storage.inputs.selection import SelectedSource
from ue_ray.storage.inputs.tar_files import is_tar

TRAIN, TEST = "train", "test"
TRAINED_ON = 0.8  # of each class, in a data set without parts: as the paper divides WebFace (Section 4.5)


@dataclass(frozen=True)
class Part:
    """Images at ``uri``; ``options``: how they are read, keywords of ``open_source``."""

    uri: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        return open_source(self.uri, **self.options)


def data_parts(data: str, tables: str, options: Mapping[str, Any], test_split: str | None = None) -> dict[str, Part]:
    """Returns the parts ``train`` and ``test`` of the data set at ``data``.

    They are the splits of ``options`` and ``test_split``, where one is given; those of a built-in data set; or the
    files or folders of these names in a folder. Any other folder of class folders is divided: a fifth of each class,
    drawn once, is the test part, and tables at ``tables`` say which images are in which part. ``options``: keywords of
    ``open_source`` for the images; those that select some are for the training part alone, or for what is divided.
    Raises UserError for anything else.
    """
    reading = {name: value for name, value in options.items() if name not in SELECTING}
    if "split" in options or test_split:
        test = Part(data, {**reading, "split": test_split or TEST})
        return {TRAIN: Part(data, {**options, "split": options.get("split", TRAIN)}), TEST: test}
    if data in BUILTINS:
        options = {name: value for name, value in options.items() if name in OF_BUILTINS}
        if data in TEST_OF:
            tested_on = {name: value for name, value in options.items() if name in reading}
            return {TRAIN: Part(data, options), TEST: Part(TEST_OF[data], tested_on)}
    # One tar, or a pattern of tars, is no folder.
    names = set() if data in BUILTINS or is_tar(data) else set(list_names(absolute(data)))
    for ending in (".parquet", ".tar", ""):
        if {f"{TRAIN}{ending}", f"{TEST}{ending}"} <= names:
            places = {name: join(data, f"{name}{ending}") for name in (TRAIN, TEST)}
            return {TRAIN: Part(places[TRAIN], options), TEST: Part(places[TEST], reading)}
    source = open_source(data, **options)
    if isinstance(source, SelectedSource):
        tables = join(tables, key_hash(repr(source.selection), 4).hex())
    if not {f"{TRAIN}.parquet", f"{TEST}.parquet"} <= set(list_names(tables)):
        ray.get(_divide.options(name="images: divide").remote(source, tables))
    links = {name: value for name, value in options.items() if name == "follow_links"}
    place = source.uri if data in BUILTINS else data  # of a folder known by name, the folder
    return {name: Part(place, links | {"labels": join(tables, f"{name}.parquet")}) for name in (TRAIN, TEST)}


@ray.remote
def _divide(source: Source, tables: str) -> None:
    listing = source.list()
    labels = listing.table["label"].to_numpy()
    if len(np.unique(labels[labels != NO_LABEL])) < 2:
        raise UserError(f"{source.uri}: holds one class; victims tell classes apart: two or more are needed")
    names = np.array(listing.class_names, object)
    trained_on = np.zeros(len(labels), bool)
    trained_on[stratified_rows(labels, TRAINED_ON, seed=0)] = True
    labelled = labels != NO_LABEL
    if lone := sorted(set(labels[labelled & trained_on]) - set(labels[labelled & ~trained_on])):
        raise UserError(f"{source.uri}: class {names[lone[0]]!r} has too few images for a training and a test part")
    for part, rows in ((TEST, labelled & ~trained_on), (TRAIN, labelled & trained_on)):
        keys = listing.table["key"].filter(pa.array(rows))
        buffer = BytesIO()
        pq.write_table(pa.table({"key": keys, "label": pa.array(names[labels[rows]], pa.string())}), buffer)
        write_bytes(join(tables, f"{part}.parquet"), buffer.getvalue())
