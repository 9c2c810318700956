"""Makes the page of images before and after in a task: the driver sees no image."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import ray

from ue_ray.distributed.survey import Survey
from ue_ray.evaluation.before_after import before_and_after
from ue_ray.evaluation.report.preview import Preview
from ue_ray.protection.looks import Look, Looks
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.samples import Handling


def preview(survey: Survey, output: str, looks: Looks, **facts: Any) -> str:
    """Returns the page, HTML. ``facts``: of Preview, beside its images."""
    page: str = ray.get(
        _preview.remote(survey.table, survey.source, survey.handling, survey.summary.class_names, output, looks, facts)
    )
    return page


@ray.remote(num_cpus=1)
def _preview(
    table: pa.Table,
    source: Source,
    handling: Handling,
    class_names: list[str],
    output: str,
    looks: Looks,
    facts: dict[str, Any],
) -> str:
    def items(chosen: tuple[Look, ...]) -> Any:
        return before_and_after(chosen, source, table, output, handling, class_names)

    return Preview(items(looks.spread), items(looks.worst), **facts).page()
