"""Reads images of an output that is being made, beside their originals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.errors import ReadFailure
from ue_ray.evaluation.gallery import GalleryItem
from ue_ray.images.codec import decode
from ue_ray.protection.looks import Look
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.samples import Handling, Sample, decode_rows
from ue_ray.storage.outputs.formats import FORMATS


def before_and_after(
    looks: Sequence[Look], source: Source, table: pa.Table, output: str, handling: Handling, class_names: Sequence[str]
) -> dict[str, GalleryItem]:
    """Each image that is looked at, by sample_id; one that cannot be read a second time is left out.

    ``table``: the rows of the listing of ``source``; ``output``: where the shards were written, committed or not.
    """
    items: dict[str, GalleryItem] = {}
    rows = table.filter(pc.is_in(table["sample_id"], pa.array([look.sample_id for look in looks], pa.string())))
    protected = dict(_protected(looks, output, handling))
    for before in decode_rows(source, rows, handling):
        if isinstance(before, Sample) and before.sample_id in protected:
            after = decode(protected[before.sample_id], handling.max_pixels).rgb
            items[before.sample_id] = GalleryItem.of(before.key, class_names[before.label], before.image, after)
    return items


def _protected(looks: Sequence[Look], output: str, handling: Handling) -> Iterator[tuple[str, bytes]]:
    format = FORMATS[handling.format]
    reader = format.reader(output)
    for shard in sorted({look.shard for look in looks}):
        name = format.pattern.format(shard)
        rows = reader.rows(name)
        rows = rows.append_column("file", pa.repeat(name, rows.num_rows))
        ids = [look.sample_id for look in looks if look.shard == shard]
        rows = rows.filter(pc.is_in(rows["sample_id"], pa.array(ids, pa.string())))
        for sample_id, image in zip(rows["sample_id"].to_pylist(), reader.images(rows), strict=True):
            if not isinstance(image, ReadFailure):
                yield sample_id, image
