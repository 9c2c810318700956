"""What a user may say of an input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ue_ray.errors import option, option_names

SELECTING = ("classes", "per_class", "per_class_seed")
"""The options that hold for every kind of input."""

BY_NAME = ("data_dir", "download")
"""The options that are for data sets known by name alone."""

OF_BUILTINS = ("split", *BY_NAME, *SELECTING)
"""The options that a built-in data set has a use for."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How an input is read; ``open_source`` takes them as keywords."""

    labels: str | None = option(
        "Where labels come from. Of a folder or of tars: a pattern of keys such as users/{label}/*, or a .csv or "
        ".parquet table with the columns key and label, or a .txt of both. Of Parquet: the label column. Of ImageNet's "
        "validation images: the file that has their labels. Not used for what has labels of its own: an output of "
        "protect, RecordIO, a built-in data set. Default: the top folder; the column label.",
        None,
    )
    image_column: str | None = option("Of Parquet: the column of images. Default: image.", None)
    label_column: str | None = option("Of Parquet: the column of labels. Default: label.", None)
    label_field: str | None = option(
        "Of WebDataset tars: the field of .json that is the label, or txt for the text in .txt. Default: what is in "
        ".cls, else the field label, cls or class.",
        None,
    )
    split: str | None = option("Of a data set with splits: the one to read. Default: train.", None)
    follow_links: bool = option("Of a local folder: follow links that lead outside it, too.", False)
    data_dir: str | None = option(
        "Of a data set known by name: where it lies, as torchvision leaves it. Default: ~/.cache/ue_ray.", None
    )
    download: bool = option("Of a data set known by name: fetch it where it is missing. The CIFARs always are.", False)
    classes: str | Sequence[str] | None = option(
        "Only these classes, numbered anew: their names, separated by commas; @FILE, with a name on each line; or "
        "first:N, the first N of the input. Images of others are left out, and counted. Default: all.",
        None,
    )
    per_class: int | None = option(
        "At most so many images of each class, drawn by their ids: the same ones in whatever order they are listed. "
        "Default: all.",
        None,
    )
    per_class_seed: int | None = option("Of --per-class: another number draws other images. Default: 0.", None)

    @property
    def source(self) -> dict[str, Any]:
        """Returns the keywords of ``open_source`` that are given."""
        values = {name: getattr(self, name) for name in option_names(SourceOptions)}
        return {name: value for name, value in values.items() if value not in (None, False)}
