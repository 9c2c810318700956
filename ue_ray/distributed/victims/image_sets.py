"""The images that victims train and are tested on, in Ray's object store."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from hashlib import sha256
from typing import Any

import pyarrow as pa
import ray

from ue_ray.distributed.survey import Survey
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.job import is_output
from ue_ray.evaluation.victim import load_data_set, purified
from ue_ray.images.labelled import LabelledImages
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.listing import Listing, Source
from ue_ray.storage.outputs.output import Output

Images = Any  # a reference to LabelledImages


class ImageSets:
    """References to sets of images; a task decodes each set, or makes it from others, when it is first asked for.

    ``surveys``: the listed inputs, by name; ``side``: the side, in pixels, at which victims see the images.
    """

    def __init__(self, surveys: Mapping[str, Survey], side: int) -> None:
        self._surveys, self._side = surveys, side
        self._made: dict[Hashable, Images] = {}

    def loaded(self, name: str) -> Images:
        """Returns all images of the input ``name``, or the set that ``made`` has made by that name."""
        if name in self._made:
            return self._made[name]
        survey = self._surveys[name]
        return self.made(name, _load, survey.source, survey.table, survey.summary.class_names, self._side)

    def made(self, key: Hashable, make: Callable[..., LabelledImages], *arguments: Any) -> Images:
        """Returns what a task that calls ``make`` gives; of the same ``key`` there is one set."""
        if key not in self._made:
            self._made[key] = ray.remote(make).remote(*arguments)
        return self._made[key]

    def purified(self, images: Images, countermeasure: str, for_test: bool = False) -> Images:
        """Returns ``images`` as a taker who uses the countermeasure trains on them or, ``for_test``, is tested on."""
        measure = parse(countermeasure)
        if not measure.purifies or (for_test and not measure.on_test):
            return images
        return self.made((images, countermeasure), purified, images, measure)


def identity(survey: Survey) -> str:
    """Returns a text that differs for different images: the fingerprint of the listing and, of a committed output, the
    digest of its manifest, since two outputs of one input have the same listing."""
    digest = ""
    if is_output(survey.source.uri):
        manifest = Output(absolute(survey.source.uri)).manifest()
        digest = sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return f"{survey.summary.fingerprint} {digest}"


def _load(source: Source, table: pa.Table, class_names: list[str], side: int) -> LabelledImages:
    return load_data_set(source, Listing(table, class_names), side)
