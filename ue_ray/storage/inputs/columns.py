"""Which columns of a Parquet file hold the images and the labels, and what its classes are called."""

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ue_ray.errors import UserError
from ue_ray.storage.inputs.labels import is_text

IMAGE, LABEL = "image", "label"


_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def partitions(name: str) -> dict[str, str | None]:
    """The columns that the folders of a relative path give: ``label=cat/part-0.parquet`` is of label cat."""
    pairs = (folder.split("=", 1) for folder in name.split("/")[:-1] if "=" in folder)
    return {column: None if value == _HIVE_NULL else urllib.parse.unquote(value) for column, value in pairs}


def image_column(schema: pa.Schema, asked: str | None, where: str) -> str:
    """The column of images: the one asked for, ``image``, or the only one that can be.

    That is the only Hugging Face Image feature, else the only column of an image's type: binary or
    struct<bytes: binary, ...>, else the only one without a type: no row has a value. Raises UserError, listing the
    columns.
    """
    features = _of_kind(schema, "Image")
    untyped = [field.name for field in schema if pa.types.is_null(field.type)]
    like_images = [field.name for field in schema if _holds_bytes(field.type) and field.name not in untyped] or untyped
    name = _chosen(schema.names, asked, IMAGE, features if len(features) == 1 else like_images)
    if name is None:
        raise UserError(_undecided(schema, {}, asked or IMAGE, "--image-column", where))
    kind = _only(schema, name, where).type
    if not _holds_bytes(kind):
        shown = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
        raise UserError(f"{where}: column {name} holds {shown}; expected struct<bytes: binary, path: string> or binary")
    return name


def label_column(schema: pa.Schema, folders: Mapping[str, str | None], asked: str | None, where: str) -> str:
    """The column of labels, of the file or its ``folders``: the one asked for, ``label``, or the only one that can be.

    That is the only Hugging Face ClassLabel feature, else a column ``labels``. Raises UserError, listing the columns.
    """
    names = [*schema.names, *folders]
    features = _of_kind(schema, "ClassLabel")
    name = _chosen(names, asked, LABEL, features if len(features) == 1 else ["labels"])
    if name is None:
        raise UserError(_undecided(schema, folders, asked or LABEL, "--label-column", where))
    if name in schema.names:
        kind = _only(schema, name, where).type
        numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
        if not (any(is_kind(kind) for is_kind in numeric) or is_text(kind) or pa.types.is_null(kind)):
            raise UserError(f"{where}: column {name} is {kind}; expected whole numbers or text")
    return name


def class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Class names from the Hugging Face feature of the column ``label``; None where there are none to use."""
    names = _features(schema).get(label, {}).get("names")
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _chosen(names: list[str], asked: str | None, default: str, candidates: list[str]) -> str | None:
    if asked is not None:
        return asked if asked in names else None
    if default in names:
        return default
    return candidates[0] if len(candidates) == 1 and candidates[0] in names else None


def _only(schema: pa.Schema, name: str, where: str) -> pa.Field:
    """The column of that name. Raises UserError where there are several."""
    if (count := schema.names.count(name)) > 1:
        raise UserError(f"{where}: {count} columns are called {name}; rename or drop all but one")
    return schema.field(name)


def _undecided(schema: pa.Schema, folders: Mapping[str, str | None], column: str, option: str, where: str) -> str:
    kinds = {field.name: field.type for field in schema}
    kinds |= dict.fromkeys(_of_kind(schema, "ClassLabel"), "ClassLabel") | dict.fromkeys(folders, pa.string())
    columns = ", ".join(f"{name} ({kind})" for name, kind in kinds.items()) or "no columns"
    return f"{where}: no column {column}; found {columns}: {option} chooses"


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_null(kind)


def _of_kind(schema: pa.Schema, kind: str) -> list[str]:
    """The columns with a Hugging Face feature of this kind."""
    return [name for name, feature in _features(schema).items() if feature.get("_type") == kind]


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """The Hugging Face features of the columns, from the schema's metadata; none for another tool's idea of it."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: features[name] for name in schema.names if isinstance(features.get(name), dict)}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
