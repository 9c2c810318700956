"""What a user may say of an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ue_ray.errors import option, option_names


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How an input is read; ``open_source`` takes them as keywords."""

    labels: str | None = option(
        "Where labels come from. Of a folder: a pattern of keys such as users/{label}/*, or a .csv or .parquet table "
        "with the columns key and label. Of Parquet: the label column. Of ImageNet's validation images: the file that "
        "has their labels. Not used for what has labels of its own: an output of protect, RecordIO, a built-in data "
        "set. Default: the top folder; the column label.",
        None,
    )
    image_column: str | None = option("Of Parquet: the column of images. Default: image.", None)
    label_column: str | None = option("Of Parquet: the column of labels. Default: label.", None)
    split: str | None = option("Of a data set with splits: the one to read. Default: train.", None)
    follow_links: bool = option("Of a local folder: follow links that lead outside it, too.", False)

    @property
    def source(self) -> dict[str, Any]:
        """Returns the keywords of ``open_source`` that are given."""
        values = {name: getattr(self, name) for name in option_names(SourceOptions)}
        return {name: value for name, value in values.items() if value not in (None, False)}
