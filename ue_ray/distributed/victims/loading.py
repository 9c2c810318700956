"""Decodes a set of images in tasks. No torch here: what decodes starts at once, and is small."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import ray

from ue_ray.distributed import cluster
from ue_ray.distributed.survey import Survey
from ue_ray.images.labelled import LabelledImages, joined
from ue_ray.storage.inputs.blocks import decode_block

AHEAD = 2  # blocks a CPU that are decoded before they are needed


def load(survey: Survey, side: int, class_names: list[str]) -> LabelledImages:
    """Decodes all images in tasks, a shard's each. While this one waits for them, Ray gives its CPU to others."""
    count, names = survey.summary.count, survey.summary.class_names
    return joined(_decoded(survey, side), survey.source.uri, count, side, names).in_classes(class_names)


def _decoded(survey: Survey, side: int) -> Iterator[LabelledImages]:
    """Yields the blocks of decoded images in the order of the listing. Few wait in the object store at a time."""
    waiting, decode = deque[Any](), _decode.options(name="images: decode")
    for number in range(survey.summary.shards):
        waiting.append(decode.remote(survey, number, side))
        if len(waiting) > AHEAD * cluster.cpus():
            yield ray.get(waiting.popleft())
    while waiting:
        yield ray.get(waiting.popleft())


@ray.remote
def _decode(survey: Survey, number: int, side: int) -> LabelledImages:
    start, stop = ray.get(survey.plan)[number].tolist()
    return decode_block(survey.source, survey.rows(), np.arange(start, stop), side, survey.handling).rows
