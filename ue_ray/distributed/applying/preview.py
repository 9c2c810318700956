"""Makes the page of images before and after in a task: the driver sees no image."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import ray

from ue_ray.distributed.survey import Survey
from ue_ray.evaluation.before_after import before_and_after
from ue_ray.evaluation.report.preview import Preview
from ue_ray.protection.looks import Looks
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.samples import Handling


def preview(survey: Survey, output: str, looks: Looks, **facts: Any) -> str:
    """Returns the page, HTML. ``facts``: of Preview, beside its images."""
    page: str = ray.get(
        _preview.options(name="protect: preview").remote(
            survey.table, survey.source, survey.handling, survey.summary.class_names, output, looks, facts
        )
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
    chosen = {look.sample_id: look for look in (*looks.spread, *looks.worst)}
    items = before_and_after(list(chosen.values()), source, table, output, handling, class_names)
    spread, worst = (
        [items[look.sample_id] for look in shown if look.sample_id in items] for shown in (looks.spread, looks.worst)
    )
    return Preview(spread, worst, **facts).page()
