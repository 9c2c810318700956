"""Images before and after: those of an output that is being made, and how alike two sets are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from statistics import fmean

import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.errors import ReadFailure
from ue_ray.evaluation.gallery import GalleryItem
from ue_ray.images.codec import decode
from ue_ray.images.labelled import LabelledImages
from ue_ray.images.quality import Likeness, psnr, ssim_of_pairs
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


def likeness(before: LabelledImages, after: LabelledImages) -> Likeness:
    """Returns the means over the images that both have, by sample_id: PSNR over those that changed, and SSIM."""
    places = {sample_id: place for place, sample_id in enumerate(before.sample_ids)}
    pairs = [
        (before.images[places[sample_id]], image)
        for sample_id, image in zip(after.sample_ids, after.images, strict=True)
        if sample_id in places
    ]
    ratios = [ratio for pair in pairs if (ratio := psnr(*pair)) < inf]
    similar = [value for value in ssim_of_pairs(pairs) if value is not None]
    return Likeness(fmean(ratios) if ratios else None, fmean(similar) if similar else None)


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
