"""The middle of every image of a Parquet data set, as one Parquet file of PNGs.

    python benchmarks/center_crop.py --input lfw20/train.parquet --output faces/train.parquet --side 130

Face data such as WebFace come cut to the faces; LFW's photos show shoulders and walls, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from PIL import Image


@dataclass(frozen=True)
class CenterCrop:
    """``side`` is in pixels."""

    input: str
    output: str
    side: int


def main(options: CenterCrop) -> None:
    table = pq.read_table(options.input)
    images = [
        {"bytes": cut(entry["bytes"], options.side), "path": entry.get("path")} for entry in table["image"].to_pylist()
    ]
    column = table.schema.get_field_index("image")
    pq.write_table(
        table.set_column(column, table.schema.field("image"), pa.array(images, table.schema.field("image").type)),
        options.output,
    )


def cut(data: bytes, side: int) -> bytes:
    """The middle ``side`` x ``side`` pixels as PNG; an image that is smaller stays whole."""
    image = Image.open(BytesIO(data)).convert("RGB")
    left, top = max(0, (image.width - side) // 2), max(0, (image.height - side) // 2)
    buffer = BytesIO()
    image.crop((left, top, image.width - left, image.height - top)).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main(tyro.cli(CenterCrop, description=__doc__))
