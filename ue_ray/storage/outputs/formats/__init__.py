"""How the protected images of an output are laid out. Adding a format: one file here and one line in FORMATS."""

import re

import numpy as np
import pyarrow as pa

from ue_ray.storage.outputs.formats.base import Format
from ue_ray.storage.outputs.formats.imagefolder import IMAGEFOLDER
from ue_ray.storage.outputs.formats.parquet import PARQUET
from ue_ray.storage.outputs.formats.recordio import RECORDIO
from ue_ray.storage.outputs.formats.webdataset import WEBDATASET
from ue_ray.storage.outputs.names import NO_HASHES, Names

FORMATS: dict[str, Format] = {
    "parquet": PARQUET,
    "imagefolder": IMAGEFOLDER,
    "webdataset": WEBDATASET,
    "recordio": RECORDIO,
}


def shared_names(format: str, class_names: list[str], extension: str, table: pa.Table) -> np.ndarray:
    """The hashes of the names that several samples of a listing would have in this format: ShardWriter takes them."""
    dots = FORMATS[format].dots
    return NO_HASHES if dots is None else Names(class_names, extension, dots).shared_by(table)


def format_of(name: str) -> Format | None:
    """The format whose shard a recorded file, ``name`` relative to the output, is; None for any other file."""
    for format in FORMATS.values():
        if _index(format.pattern, name) is not None:
            return format
    return None


def files_beside(name: str) -> list[str]:
    """The files that the recorded file ``name`` refers to by the index of its shard."""
    format = format_of(name)
    index = _index(format.pattern, name) if format else None
    return [] if format is None or index is None else [pattern.format(index) for pattern in format.beside]


def _index(pattern: str, name: str) -> int | None:
    """The index of the shard whose file is called ``name`` by this pattern; None for any other name."""
    before, _, after = pattern.partition("{:05d}")
    match = re.fullmatch(rf"{re.escape(before)}(\d{{5,}}){re.escape(after)}", name)
    return int(match[1]) if match else None
