"""Checks a noise in a task: on some images of the input, kept apart from what it is applied to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import ray

from ue_ray.distributed.survey import Survey
from ue_ray.evaluation.self_check import SelfCheck, check_noise, most_images
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.protection.partial import Partial, protected_classes
from ue_ray.storage.inputs.blocks import decode_block, stratified_rows
from ue_ray.storage.inputs.listing import NO_LABEL, Source
from ue_ray.storage.inputs.samples import Handling


def check(survey: Survey, noise: str, partial: Partial | None = None) -> SelfCheck:
    """Returns how the noise at the URI ``noise`` does on the input it was made for, or on those of its classes that are
    protected: two or more."""
    result: SelfCheck = ray.get(
        _check.options(name="protect: check").remote(
            survey.table, survey.source, survey.handling, survey.summary.class_names, noise, partial
        )
    )
    return result


@ray.remote(num_cpus=1)
def _check(
    table: pa.Table, source: Source, handling: Handling, class_names: list[str], noise: str, partial: Partial | None
) -> SelfCheck:
    artifact = NoiseArtifact.load(noise)
    labels = table["label"].to_numpy()
    labels = np.where(np.append(protected_classes(partial, class_names), False)[labels], labels, NO_LABEL)
    side = artifact.config.image_size
    share = most_images(side) / max(1, int(np.count_nonzero(labels != NO_LABEL)))
    rows = stratified_rows(labels, min(1.0, share), artifact.config.seed)
    images = decode_block(source, table, rows, side, handling).rows
    return check_noise(replace(images, class_names=class_names), artifact, Compute.detect("cpu"))
