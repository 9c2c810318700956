"""Which of an input's classes and images are taken; the others are left out, and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
import pyarrow as pa

from ue_ray.errors import ReadFailure, UserError, listed, one_line
from ue_ray.storage.filesystem import absolute, read_bytes
from ue_ray.storage.inputs.labels import first_names
from ue_ray.storage.inputs.listing import CHUNK_ROWS, NO_LABEL, Listing, Source, key_hash

FIRST, FILE = "first:", "@"
_TEXT_FILES = (".txt", ".csv", ".tsv", ".lst", ".list")


@dataclass(frozen=True)
class ClassChoice:
    """Classes by their ``names``, or the ``first`` so many. ``option`` asked for them: a part of messages.

    ``text``: what was given, where it may be a single name with commas in it. ``strict``: all must be there.
    """

    option: str
    names: tuple[str, ...] = ()
    first: int | None = None
    text: str = ""
    strict: bool = True

    @classmethod
    def of(cls, option: str, given: str | Sequence[str]) -> ClassChoice:
        """``given``: names, in a list or separated by commas; ``@FILE``, a local path or a URI of text in UTF-8 with a
        name on each line; or ``first:N``. Raises UserError for anything else."""
        if not isinstance(given, str):
            if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
                raise UserError(f"{option} is {given!r}: expected names of classes, as text")
            return cls(option, tuple(given))._not_empty("names no class")
        if given.startswith(FIRST):
            count = given.removeprefix(FIRST)
            if not (count.isascii() and count.isdigit() and int(count)):
                raise UserError(f"{option} {given}: expected a whole number above 0, as in {FIRST}100")
            return cls(option, first=int(count))
        if given.startswith(FILE):
            return cls(option, _names_in(given.removeprefix(FILE), option))._not_empty(f"{given} holds no name")
        return cls(option, tuple(listed(given)), text=given)._not_empty("names no class")

    def among(self, class_names: Sequence[str]) -> list[str]:
        """Returns the chosen ones of ``class_names``, in their order. Raises UserError for a name that is nobody's, and
        where there are none."""
        if self.first is not None:
            if self.first > len(class_names):
                raise UserError(f"{self.option} {FIRST}{self.first}: the input has {_count(class_names)}")
            return list(class_names[: self.first])
        known = set(class_names)
        chosen = {self.text} if self.text in known else set(self.names)
        found = [name for name in class_names if name in chosen]
        if not (self.strict or found):
            raise UserError(f"{self.option}: the input has none of these classes; it has {_count(class_names)}")
        if self.strict and (unknown := [name for name in dict.fromkeys(self.names) if name in chosen - known]):
            more = f", nor {len(unknown) - 1:,} more of the {len(chosen):,} names" if len(unknown) > 1 else ""
            raise UserError(
                f"{self.option}: no class is called {unknown[0]!r}{more}{_hint(unknown[0], class_names)}; "
                f"the input has {_count(class_names)}"
            )
        return found

    def _not_empty(self, otherwise: str) -> ClassChoice:
        if not any(self.names):
            raise UserError(f"{self.option} {otherwise}: give names, {FILE}FILE or {FIRST}N")
        return self


@dataclass(frozen=True)
class Selection:
    """The chosen ``classes`` (None: all), and at most ``per_class`` images of each (None: all), drawn by ``seed``."""

    classes: ClassChoice | None = None
    per_class: int | None = None
    seed: int = 0

    def of(self, listing: Listing, where: str) -> Listing:
        """Returns the selected rows of ``listing``, in its order; classes are numbered anew, in their order.

        Files of no class stay: they end as rejected, each with its reason. An image's sample_id alone says whether it
        is drawn before another of its class. Raises UserError, naming ``where``, if nothing is left.
        """
        labels, names = listing.labels(), listing.class_names
        kept = np.ones(len(labels), bool)
        if self.classes is not None:
            names = self.classes.among(listing.class_names)
            number = {name: label for label, name in enumerate(names)}
            numbers = np.array([number.get(name, NO_LABEL) for name in listing.class_names], np.int64)
            kept = (labels == NO_LABEL) | (numbers[labels] != NO_LABEL)
            labels = np.where(labels == NO_LABEL, NO_LABEL, numbers[labels])
        if self.per_class is not None:
            rows = np.flatnonzero(kept)
            kept[rows] = _drawn(
                listing.table["sample_id"].filter(pa.array(kept)), labels[rows], self.per_class, self.seed
            )
        place = listing.table.column_names.index("label")
        table = listing.table.set_column(place, "label", pa.array(labels, pa.int64())).filter(pa.array(kept))
        left_out = int(np.count_nonzero(~kept))
        return replace(
            listing,
            table=table,
            class_names=list(names),
            own_numbers=listing.own_numbers and self.classes is None,
            note="; ".join(filter(None, (listing.note, self._note(left_out, len(listing.class_names), len(names))))),
            left_out=listing.left_out + left_out,
        ).check(where)

    def _note(self, left_out: int, classes: int, chosen: int) -> str:
        why = [f"{self.classes.option} takes {chosen:,} of {classes:,} classes"] if self.classes else []
        if self.per_class is not None:
            why.append(f"--per-class at most {self.per_class:,} images of each")
        return f"{left_out:,} images are left out: {', '.join(why)}" if left_out else ""


@dataclass(frozen=True)
class SelectedSource:
    """What ``selection`` takes of ``source``."""

    source: Source
    selection: Selection

    @property
    def uri(self) -> str:
        return self.source.uri

    @property
    def split(self) -> str | None:
        return self.source.split

    @property
    def splits(self) -> tuple[str, ...]:
        return self.source.splits

    def list(self) -> Listing:
        return self.selection.of(self.source.list(), self.uri)

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        return self.source.read(rows)


def _drawn(sample_ids: pa.ChunkedArray, labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Which rows have one of the ``most`` smallest hashes of their class, bool [n]; all without a class."""
    hashes = np.concatenate(
        [np.empty(0, np.uint64)]
        + [
            np.array([_hash(sample_id, seed) for sample_id in chunk.slice(start, CHUNK_ROWS).to_pylist()], np.uint64)
            for chunk in sample_ids.chunks
            for start in range(0, len(chunk), CHUNK_ROWS)
        ]
    )
    order = np.lexsort((hashes, labels))
    in_order = labels[order]
    rank = np.arange(len(labels)) - np.searchsorted(in_order, in_order, side="left")
    drawn = np.empty(len(labels), bool)
    drawn[order] = (rank < most) | (in_order == NO_LABEL)
    return drawn


def _hash(sample_id: str, seed: int) -> int:
    return int.from_bytes(key_hash(f"{seed}/{sample_id}", 8))


def _names_in(uri: str, option: str) -> tuple[str, ...]:
    """The lines of a file that are not blank, without spaces around them."""
    try:
        text = read_bytes(absolute(uri)).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{option} {FILE}{uri}: there is no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{option} {FILE}{uri}: is not text in UTF-8; expected a name on each line") from None
    except OSError as error:
        raise UserError(f"{option} {FILE}{uri}: cannot be read: {one_line(error)}") from None
    return tuple(filter(None, (line.strip() for line in text.split("\n"))))


def _hint(name: str, class_names: Sequence[str]) -> str:
    if close := get_close_matches(name, class_names, 1):
        return f" (did you mean {close[0]}?)"
    return f" (a file of names is written {FILE}{name})" if name.lower().endswith(_TEXT_FILES) else ""


def _count(class_names: Sequence[str]) -> str:
    count = len(class_names)
    return f"{count:,} class{'es' * (count != 1)}: {first_names(class_names)}"
