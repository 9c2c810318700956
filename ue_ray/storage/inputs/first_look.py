"""A first look into the images of a listing: what size they have, and in which classes none can be read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ue_ray.errors import UserError
from ue_ray.storage.inputs.labels import first_names
from ue_ray.storage.inputs.listing import NO_LABEL, Listing, Source
from ue_ray.storage.inputs.samples import DEFAULT_HANDLING, REASON, Handling, Rejected, decode_rows

SPREAD = 32  # images looked at, evenly spread over the listing
MOST_A_CLASS = 1024  # of a class that were not readable so far, looked at together
MOST_CLASSES = 1000  # looked at, evenly spread: an image each of 100,000 users in a bucket would take minutes


@dataclass(frozen=True)
class FirstLook:
    """``listing``, of which the classes without a readable image have been dropped. ``shapes``: (height, width) of some
    images. ``dropped``: the number of files of each class that was. ``note``: what the user should know, in one line.
    """

    listing: Listing
    shapes: list[tuple[int, int]]
    dropped: Mapping[str, int]
    note: str


def first_look(source: Source, listing: Listing, handling: Handling = DEFAULT_HANDLING) -> FirstLook:
    """Reads one readable image of each class, and all files of a class that has none; of many classes only of some.

    The others are believed to have images: where one has none, each of its files is rejected in its turn. The files of
    a dropped class stay in the listing, without a label and with the reason why each cannot be read.

    Raises UserError where no class is left.
    """
    labels = listing.labels()
    rejected: dict[int, str] = {}
    seen = {NO_LABEL}
    shapes: list[tuple[int, int]] = []

    def look(rows: np.ndarray) -> None:
        for row, entry in zip(rows.tolist(), decode_rows(source, listing.table.take(rows), handling), strict=True):
            if isinstance(entry, Rejected):
                rejected[row] = entry.reason
            else:
                seen.add(entry.label)
                if len(shapes) < SPREAD:
                    shapes.append(entry.image.shape[:2])

    look(np.unique(np.linspace(0, len(labels) - 1, min(SPREAD, len(labels))).astype(np.int64)))
    by_class = np.argsort(labels, kind="stable")
    present, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    chosen = np.unique(np.linspace(0, len(present) - 1, min(MOST_CLASSES, len(present))).astype(np.int64))
    seen |= set(np.delete(present, chosen).tolist())
    done, step = 0, 1
    while True:
        left = [
            by_class[start + done : start + min(done + step, count)]
            for label, start, count in zip(present.tolist(), starts, counts, strict=True)
            if label not in seen and count > done
        ]
        if not left:
            break
        look(np.sort(np.concatenate(left)))  # in the order of the listing, in which neighbours are read together
        done, step = done + step, min(4 * step, MOST_A_CLASS)
    empty = {label: count for label, count in zip(present.tolist(), counts.tolist(), strict=True) if label not in seen}
    if not empty:
        return FirstLook(listing, shapes, {}, "")
    unreadable = np.isin(labels, list(empty))
    rows = np.flatnonzero(unreadable)
    reasons = pa.array([rejected[row] for row in rows.tolist()], pa.string())
    example = f"such as {listing.table['key'][rows[0]].as_py()}: {reasons[0]}"
    if len(empty) == np.count_nonzero(present != NO_LABEL):
        raise UserError(f"{source.uri}: no image can be read: {len(rows):,} files, {example}")
    dropped = {listing.class_names[label]: count for label, count in empty.items()}
    shown = first_names([f"{name} ({count:,} file{'s' * (count > 1)})" for name, count in dropped.items()])
    note = f"not a class, because no image in it can be read: {shown}, {example}"
    places = pa.array(np.cumsum(unreadable) - 1, mask=~unreadable)
    kept = listing.without(dropped)
    kept = replace(kept, table=kept.table.append_column(REASON, reasons.take(places)))
    return FirstLook(kept.check(f"{source.uri} ({note})"), shapes, dropped, note)
