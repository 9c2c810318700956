"""Checks a noise in a task, beside the work: on some images of the input, apart from what it is applied to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import ray

from ue_ray.distributed.survey import Survey
from ue_ray.evaluation.self_check import SelfCheck, check_noise, rows_to_check
from ue_ray.learning.compute import Compute
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.methods import METHODS
from ue_ray.protection.partial import Partial, protected_classes
from ue_ray.storage.inputs.blocks import decode_block
from ue_ray.storage.inputs.listing import NO_LABEL, Source
from ue_ray.storage.inputs.samples import Handling


class RunningCheck:
    """How the noise at the URI ``noise`` does on those classes of the input that are protected."""

    def __init__(self, survey: Survey, noise: str, method: type[NoiseMethod], partial: Partial | None) -> None:
        self._task = _check.options(name="protect: check").remote(
            survey.table, survey.source, survey.handling, survey.summary.class_names, noise, method, partial
        )

    def result(self) -> SelfCheck | None:
        """Waits for it; None where there are too few images, or too few classes, to tell."""
        checked: SelfCheck | None = ray.get(self._task)
        return checked


@ray.remote(num_cpus=1)
def _check(
    table: pa.Table,
    source: Source,
    handling: Handling,
    class_names: list[str],
    noise: str,
    method: type[NoiseMethod],
    partial: Partial | None,
) -> SelfCheck | None:
    artifact = NoiseArtifact.load(noise)
    METHODS[artifact.config.method] = method  # a method of one's own is known to the driver alone
    labels = table["label"].to_numpy()
    labels = np.where(np.append(protected_classes(partial, class_names), False)[labels], labels, NO_LABEL)
    side = artifact.config.image_size
    rows = rows_to_check(labels, side, artifact.config.seed)
    images = decode_block(source, table, rows, side, handling).rows
    return check_noise(replace(images, class_names=class_names), artifact, Compute.detect("cpu"))
