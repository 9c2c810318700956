"""The samples of one WebDataset tar: which files belong together, which is the image, and what says the label.

The rule of the webdataset library (``base_plus_ext``): a sample's key is the path of its files up to the first dot of
the last name; what stands behind that dot says what the file is.
"""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.errors import one_line
from ue_ray.storage.inputs.folder import LEFT_BEHIND
from ue_ray.storage.inputs.tar_index import Kind, Member, TarIndex
from ue_ray.storage.inputs.visible import left_behind

CLS, TXT = ".cls", ".txt"  # as a source of labels: a file of the sample; any other is a field of its .json
USUAL_FIELDS = ("label", "cls", "class")
ROWS = 2048
LABEL_BYTES = 1 << 20  # a larger .cls, .txt or .json says nothing of a label

NO_IMAGE = "no image in the sample"
SEVERAL = "several images in the sample (its files are those of one name up to the first dot), so none is chosen"
CUT = "cut: the tar ends inside it"
DAMAGED = "the tar is damaged from here on: no header where one should be"
SPARSE = "stored as a sparse file, without its holes; make the tar anew without --sparse"

_NAME = r"^(?s:(?P<key>(?:.*/|)[^.]+)[.](?P<ending>[^/]*))$"
_IMAGE = (
    r"^(?i:(?:.*\.)?(?:jpg|jpeg|jpe|jfif|mpo|png|apng|webp|avif|gif|bmp|dib|tif|tiff|ppm|pgm|pbm|pnm|jp2|j2k|j2c|jpx|"
    r"jpf|ico|qoi|heic|heif|hif))$"
)
_IS_IMAGE = re.compile(_IMAGE)
_META = re.compile(r"__[^/]*__($|/)")  # of the library's own, no samples
_DAMAGED_NAME = "from byte {}"

_MEMBERS = pa.schema([("name", pa.string()), ("offset", pa.int64()), ("size", pa.int64()), ("kind", pa.string())])
_VALUES = pa.schema([("member", pa.int64()), ("source", pa.string()), ("text", pa.string()), ("trouble", pa.string())])


def is_image(name: str) -> bool:
    """Whether a file is an image, by its ending, in any case."""
    return bool(_IS_IMAGE.match(name.rpartition("/")[2].rpartition(".")[2])) and "." in name


def label_column(source: str) -> str:
    """The column of TarSamples that holds what one of ``label_sources`` says."""
    return f"by {source}"


def label_sources(asked: str | None) -> tuple[str, ...]:
    """Where labels may stand: CLS, TXT or fields of ``.json``. ``asked``: ``txt``, or the one field."""
    if asked is None:
        return (CLS, *USUAL_FIELDS)
    return (TXT,) if asked == "txt" else (asked,)


@dataclass(frozen=True)
class TarSamples:
    """What one tar holds.

    ``table``, a row a sample, in the order in which they begin in the tar: ``name`` (of the image; of another of its
    files where there is none), ``sample`` (the key in the tar), ``offset`` and ``nbytes`` of the image, ``fault`` (why
    there is none to read, or null), ``trouble`` (what is wrong with a file that should say the label, or null), and, of
    each of ``label_sources``, what it says, in ``label_column``. ``fields``: those of the first .json. ``beside``: an
    image that is beside a sample's own, and how many are. ``links``: how many members are links. ``whole``: whether the
    tar has its end.
    """

    table: pa.Table
    fields: tuple[str, ...]
    beside: tuple[str, int]
    links: int
    whole: bool


def list_tar(tar: TarIndex, asked: str | None) -> TarSamples:
    """Lists one tar. ``asked``: where labels stand, as for ``label_sources``. Raises what iterating ``tar`` does."""
    sources = label_sources(asked)
    members, values, links = _Rows(_MEMBERS), _Rows(_VALUES), 0
    said = _Said(sources)
    for member in tar:
        links += member.kind is Kind.LINK
        if member.kind in (Kind.FOLDER, Kind.LINK, Kind.OTHER) or _META.match(member.name):
            continue
        if member.kind is Kind.FILE and said.looks_at(member.name):
            for source, text, trouble in said.labels(member, tar):
                values.add(members.count, source, text, trouble)
        name = _DAMAGED_NAME.format(member.offset) if member.kind is Kind.DAMAGED else member.name
        members.add(name, member.offset, member.size, member.kind.name)
    files, labels = members.table(), values.table()
    table, beside = _samples(files, labels, sources)
    return TarSamples(table, said.fields, beside, links, tar.whole)


class _Rows:
    """Grows a table row by row; Python objects are held of ROWS rows only: many tars are listed at once."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[tuple] = []
        self.count = 0

    def add(self, *row: Any) -> None:
        self._rows.append(row)
        self.count += 1
        if len(self._rows) == ROWS:
            self._flush()

    def table(self) -> pa.Table:
        self._flush()
        return pa.Table.from_batches(self._batches, self._schema).combine_chunks()

    def _flush(self) -> None:
        if self._rows:
            columns = map(pa.array, zip(*self._rows, strict=True), self._schema.types)
            self._batches.append(pa.record_batch(list(columns), schema=self._schema))
            self._rows = []


@dataclass
class _Said:
    """Reads labels out of the small files that say them. ``fields``: those of the first .json."""

    sources: tuple[str, ...]
    fields: tuple[str, ...] = field(default=())

    def looks_at(self, name: str) -> bool:
        ending = name[-5:].lower()
        return (ending.endswith(".json") and self.sources != (TXT,)) or ending[1:] in self.sources

    def labels(self, member: Member, tar: TarIndex) -> list[tuple[str, str | None, str | None]]:
        """The source, the text and the trouble of each label that a file says: one of the last two is None."""
        ending = member.name.lower().rpartition(".")[2]
        if member.size > LABEL_BYTES:
            return [(self.sources[0], None, f"its .{ending} is larger than {LABEL_BYTES >> 20} MiB")]
        try:
            data = tar.content(member)
            if ending != "json":
                return [(f".{ending}", *_text(data.decode(), f"its .{ending}"))]
            facts = json.loads(data)
        except UnicodeDecodeError:
            return [(self.sources[0], None, f"its .{ending} is no text in UTF-8")]
        except (ValueError, RecursionError) as error:
            return [(self.sources[0], None, f"its .{ending} cannot be read: {one_line(error)[:80]}")]
        if not isinstance(facts, dict):
            return [(self.sources[0], None, "its .json holds no fields")]
        self.fields = self.fields or tuple(facts)
        return [(name, *_text(facts[name], f"the {name} in its .json")) for name in self.sources if name in facts]


def _text(value: Any, what: str) -> tuple[str | None, str | None]:
    """A label as text, or what is wrong with it."""
    if isinstance(value, float) and math.isfinite(value) and value == math.floor(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None, f"{what} is neither text nor a whole number"
    text = str(value).strip()
    if not text:
        return None, f"{what} is empty"
    if len(text.splitlines()) > 1:
        return None, f"{what} has several lines"
    try:
        text.encode()
    except UnicodeEncodeError:
        return None, f"{what} is not Unicode"
    return text, None


def _samples(files: pa.Table, labels: pa.Table, sources: tuple[str, ...]) -> tuple[pa.Table, tuple[str, int]]:
    """The table of TarSamples, and its ``beside``."""
    names = files["name"]
    parts = pc.extract_regex(names, _NAME)
    keys = pc.coalesce(pc.struct_field(parts, 0), names)
    endings = pc.fill_null(pc.struct_field(parts, 1), "")
    codes, distinct = _numbered(keys)
    count = len(distinct)
    left = _flags(left_behind(names))
    image = _flags(pc.match_substring_regex(endings, _IMAGE)) & ~left
    plain = ~_flags(pc.match_substring(endings, "."))  # seg.png is an image too, but beside a png another's
    rows, images = _chosen(codes, image, plain, count)
    first = _first(codes, np.arange(len(codes)), count)
    others = np.setdiff1d(np.flatnonzero(image & np.isin(codes, np.flatnonzero(images == 1))), rows[rows >= 0])
    shown = np.where(rows >= 0, rows, first)
    kinds = files["kind"].to_numpy()[shown] if count else np.empty(0, object)
    fault = np.full(count, None, object)
    for condition, reason in (
        (images == 0, NO_IMAGE),
        (images > 1, SEVERAL),
        (left[shown], LEFT_BEHIND.reason),
        (kinds == Kind.SPARSE.name, SPARSE),
        (kinds == Kind.CUT.name, CUT),
        (kinds == Kind.DAMAGED.name, DAMAGED),
    ):
        fault[condition] = reason
    columns = {
        "name": names.take(shown),
        "sample": distinct,
        "offset": files["offset"].take(shown),
        "nbytes": pc.if_else(pa.array(images == 1), files["size"].take(shown), 0),
        "fault": pa.array(fault, pa.string()),
        "trouble": _of_samples(labels, "trouble", pc.is_valid(labels["trouble"]), codes, plain, count),
    }
    for source in sources:
        some = pc.and_(pc.equal(labels["source"], source), pc.is_valid(labels["text"]))
        columns[label_column(source)] = _of_samples(labels, "text", some, codes, plain, count)
    beside = (names[int(others[0])].as_py() if len(others) else "", len(others))
    return pa.table(columns), beside


def _chosen(codes: np.ndarray, wanted: np.ndarray, plain: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The row of each sample's file that is ``wanted`` (-1: none), and of how many that is one: plain names go first.

    ``codes`` int64 [rows] are the samples', below ``count``; ``wanted`` and ``plain`` bool [rows].
    """
    best, rest = np.flatnonzero(wanted & plain), np.flatnonzero(wanted & ~plain)
    bests, rests = (np.bincount(codes[rows], minlength=count) for rows in (best, rest))
    first, second = (_first(codes, rows, count) for rows in (best, rest))
    return np.where(bests > 0, first, second), np.where(bests > 0, bests, rests)


def _first(codes: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """The first of ``rows`` of each sample, -1 where it has none."""
    first = np.full(count, -1, np.int64)
    first[codes[rows][::-1]] = rows[::-1]
    return first


def _of_samples(
    labels: pa.Table, column: str, wanted: pa.ChunkedArray, codes: np.ndarray, plain: np.ndarray, count: int
) -> pa.ChunkedArray:
    """A column of what label files say, a value a sample, null where none of its files is ``wanted``."""
    members = labels["member"].to_numpy()
    rows, _ = _chosen(codes[members], _flags(wanted), plain[members], count)
    return labels[column].take(pa.array(rows, mask=rows < 0))


def _numbered(keys: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """The number of each key, int64 [rows], in the order in which they first appear, and the keys in that order."""
    encoded = keys.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def _flags(values: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(values, False).to_numpy().astype(bool)
