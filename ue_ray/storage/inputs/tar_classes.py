"""The classes of samples of tars: by what their .cls, .json or .txt say, else by the folders of their keys."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.errors import UserError
from ue_ray.storage.inputs.labels import classes, first_names, numbered, own_name, unlabelled
from ue_ray.storage.inputs.listing import NO_LABEL
from ue_ray.storage.inputs.parquet import MAX_UNNAMED_CLASSES
from ue_ray.storage.inputs.tar_samples import CLS, label_column, label_sources

_NUMBER = r"^-?(0|[1-9][0-9]{0,17})$"
_TOP = r"^(?P<top>[^/]+)/"
_NONE = pa.scalar(None, pa.string())


@dataclass(frozen=True)
class Classes:
    """``names``: the class of each sample, null where it has none. ``fault``: why a sample cannot be protected, null
    where it can: what was known before, and what is wrong with the label. ``note``: what the user should know."""

    names: pa.ChunkedArray
    fault: pa.ChunkedArray
    note: str = ""


def of_keys(keys: pa.ChunkedArray, fault: pa.ChunkedArray, labels: str) -> Classes:
    """By a pattern or a table of ``keys``, those of the listing."""
    return _given(classes(keys, labels), fault, pa.scalar(unlabelled(labels)))


def of_samples(rows: pa.Table, asked: str | None, fields: Sequence[str], uri: str) -> Classes:
    """By what the samples say; ``rows``: as ``TarSamples.table``, ``asked``: as for ``label_sources``.

    ``fields``: those of a .json. Where no sample says anything, the class is the first folder in which the keys differ;
    without folders all is one class, called as ``uri``. Raises UserError where what is asked for is not there, or where
    it is not clear what is meant.
    """
    source = _source(rows, asked, fields, uri)
    fault = rows["fault"]
    if source is not None:
        where = f"no {source} in the sample" if source.startswith(".") else f"no {source} in a .json of the sample"
        return _given(rows[label_column(source)], fault, pc.coalesce(rows["trouble"], pa.scalar(where)))
    named = _given(_of_folders(rows["sample"], pc.is_null(fault), uri), fault, pa.scalar(unlabelled(None)))
    what = "their folders are the classes" if len(named.names.unique().drop_null()) > 1 else "all is one class"
    advice = f"; --label-field takes a field of .json: {first_names(fields)}" if fields else ""
    return Classes(named.names, named.fault, f"no labels in the tars (.cls, or label in .json): {what}{advice}")


def labels_of(
    given: Classes,
) -> tuple[pa.Array | pa.ChunkedArray, list[str], bool, pa.ChunkedArray]:
    """Labels int64, class names, whether the numbers are the input's own, and ``fault``, of numbers below 0, too.

    Names are numbers where all of them are, none above what is taken for one that numbers classes.
    """
    names, fault = given.names, given.fault
    distinct = names.unique().drop_null()
    if not pc.all(pc.match_substring_regex(distinct, _NUMBER)).as_py():
        return *numbered(names), False, fault
    top = pc.max(distinct.cast(pa.int64())).as_py()
    if top is None or not 0 <= top < MAX_UNNAMED_CLASSES:
        return *numbered(names), False, fault
    values = names.cast(pa.int64())
    below = pc.fill_null(pc.less(values, 0), False)
    fault = pc.if_else(below, pc.binary_join_element_wise("label", names, "is below 0, no class", " "), fault)
    labels = pc.if_else(below, NO_LABEL, pc.fill_null(values, NO_LABEL))
    return labels, [str(number) for number in range(top + 1)], True, fault


def _given(names: pa.ChunkedArray, fault: pa.ChunkedArray, otherwise: pa.Scalar | pa.ChunkedArray) -> Classes:
    """``names`` of the samples that can be protected; ``otherwise``: the fault of those without a name."""
    fault = pc.coalesce(fault, pc.if_else(pc.is_null(names), otherwise, _NONE))
    return Classes(pc.if_else(pc.is_null(fault), names, _NONE), fault)


def _source(rows: pa.Table, asked: str | None, fields: Sequence[str], uri: str) -> str | None:
    """Where the labels stand; None: nowhere."""
    found = [name for name in label_sources(asked) if rows[label_column(name)].null_count < len(rows)]
    if asked is not None and not found:
        if asked == "txt":
            raise UserError(f"{uri}: no sample has a label in a .txt; --label-field takes a field of .json, too")
        known = first_names(fields) or "no .json"
        raise UserError(f"{uri}: no field {asked} with a label in any .json; found {known}: --label-field chooses")
    if asked is None and CLS not in found and len(found) > 1:
        raise UserError(f"{uri}: the .json files have {' and '.join(found)}: --label-field chooses")
    return found[0] if found else None


def _of_folders(samples: pa.ChunkedArray, readable: pa.ChunkedArray, uri: str) -> pa.ChunkedArray:
    """The first folder in which the keys of the ``readable`` samples differ; without such folders one name for all."""
    whole, usable = own_name(uri).removesuffix(".tar"), samples.filter(readable)
    while len(usable):
        tops = pc.struct_field(pc.extract_regex(usable, _TOP), 0)
        if tops.null_count or len(distinct := tops.unique()) > 1:
            break
        whole = distinct[0].as_py()
        usable, samples = (pc.utf8_slice_codeunits(keys, len(whole) + 1) for keys in (usable, samples))
    found = classes(samples, None)
    if pc.all(pc.is_null(found)).as_py():
        return pa.chunked_array([pa.repeat(whole, len(samples))], pa.string())
    return found
