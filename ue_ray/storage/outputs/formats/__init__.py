"""How the protected images of an output are laid out. Adding a format: one file here and one line in FORMATS."""

import re

from ue_ray.storage.outputs.formats.base import Entry, Place, ShardFile
from ue_ray.storage.outputs.formats.imagefolder import ImageFolderShard
from ue_ray.storage.outputs.formats.parquet import ParquetShard
from ue_ray.storage.outputs.formats.webdataset import WebDatasetShard

__all__ = ["FORMATS", "Entry", "Place", "ShardFile", "format_of"]

FORMATS: dict[str, type[ShardFile]] = {
    "parquet": ParquetShard,
    "imagefolder": ImageFolderShard,
    "webdataset": WebDatasetShard,
}


def format_of(name: str) -> type[ShardFile] | None:
    """The format whose shard a recorded file, ``name`` relative to the output, is; None for any other file."""
    for kind in FORMATS.values():
        before, _, after = kind.pattern.partition("{:05d}")
        if re.fullmatch(rf"{re.escape(before)}\d{{5,}}{re.escape(after)}", name):
            return kind
    return None
