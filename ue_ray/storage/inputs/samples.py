"""Rows of a listing, read and decoded: a sample each, or the reason why there is none. No torch, no Ray."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.errors import ReadFailure, UserError, choose
from ue_ray.images.codec import ENCODINGS, LOSSLESS, MAX_PIXELS, ImageError, Picture, encode
from ue_ray.images.sandbox import decode_files
from ue_ray.storage.inputs.listing import NO_LABEL, Source
from ue_ray.storage.outputs.formats import FORMATS


@dataclass(frozen=True)
class Handling:
    """How images are read and written.

    ``format``, one of FORMATS, is how an output is laid out. ``encoding`` is one of ENCODINGS; ``quality``, 1 to 100,
    is JPEG's. With ``keep_metadata`` an output carries its original's EXIF (GPS too) and XMP. An image of more than
    ``max_pixels`` is rejected.
    """

    format: str = "parquet"
    encoding: str = "png"
    quality: int = 95
    keep_metadata: bool = False
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        choose(self.format, FORMATS, "format")
        choose(self.encoding, ENCODINGS, "encoding")
        if not 1 <= self.quality <= 100:
            raise UserError(f"quality is {self.quality}: it must be from 1 to 100")
        if self.max_pixels < 1:
            raise UserError(f"max-pixels is {self.max_pixels}: it must be at least 1")

    @property
    def lossless(self) -> bool:
        return self.encoding in LOSSLESS

    @property
    def extension(self) -> str:
        """Of the encoding, as in ``.png``."""
        return ENCODINGS[self.encoding]

    def encode(self, image: np.ndarray, original: Picture) -> bytes:
        """``image``, uint8 [H,W,3], with the alpha and metadata of the picture that it was made from."""
        return encode(image, original.alpha, self.encoding, self.quality, original.metadata)


DEFAULT_HANDLING = Handling()


REASON = "reason"  # a column of a listing: why the row is rejected, where that is known


@dataclass(frozen=True)
class Sample:
    """One row of the listing, decoded."""

    sample_id: str
    key: str
    label: int
    picture: Picture

    @property
    def image(self) -> np.ndarray:
        """uint8 [H,W,3]."""
        return self.picture.rgb


@dataclass(frozen=True)
class Rejected:
    """One row of the listing that cannot be protected, and why, in one line."""

    sample_id: str
    key: str
    label: int
    reason: str


def decode_rows(source: Source, rows: pa.Table, handling: Handling = DEFAULT_HANDLING) -> Iterator[Sample | Rejected]:
    """Each row of a listing, in order, as exactly one of the two. A bad file takes nothing with it.

    A row whose column REASON, where there is one, says why it cannot be read is not read again.
    """
    ids, keys, labels = (rows[name].to_pylist() for name in ("sample_id", "key", "label"))
    files = (
        ReadFailure("has no label") if label == NO_LABEL and isinstance(data, bytes) else data
        for label, data in zip(labels, _read(source, rows), strict=True)
    )
    found = decode_files(files, handling.max_pixels, handling.keep_metadata)
    for sample_id, key, label, picture in zip(ids, keys, labels, found, strict=True):
        if isinstance(picture, ImageError):
            yield Rejected(sample_id, key, label, str(picture))
        else:
            yield Sample(sample_id, key, label, picture)


def _read(source: Source, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
    if REASON not in rows.column_names:
        yield from source.read(rows)
        return
    others = source.read(rows.filter(pc.is_null(rows[REASON])))
    for reason in rows[REASON].to_pylist():
        yield next(others) if reason is None else ReadFailure(reason)
