"""What ImageNet's classes are called, and which class each validation image has: the files that come beside the images.

A class is a synset of WordNet, ``n01440764``. ILSVRC 2012 numbers them in two ways: by their sorted names (0 to 999, in
``val.txt``) and, in the development kit, by an ILSVRC2012_ID (1 to 1000), of which ``meta.mat`` has the list.
"""

from __future__ import annotations

import csv
import io
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ue_ray.errors import UserError, one_line
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.store import Store

SYNSET = re.compile(r"n\d{8}")
VALIDATION = re.compile(r"ILSVRC2012_val_\d{8}\.JPEG", re.IGNORECASE)

MAPPING = "LOC_synset_mapping.txt"
SOLUTION, LIST, TRUTH = "LOC_val_solution.csv", "val.txt", "ILSVRC2012_validation_ground_truth.txt"
KIT = "ILSVRC2012_devkit_t12"
LABEL_FILES = (SOLUTION, LIST, f"{KIT}.tar.gz", TRUTH, f"{KIT}/data/{TRUTH}")
"""Where the labels of the validation images are looked for, in this order, relative to a folder."""
EXPECTED = f"{SOLUTION}, {LIST} or {KIT}.tar.gz"
UNLABELLED = "no label among those of the validation images"

_DATA = "ILSVRC/Data/CLS-LOC"  # below the folder of Kaggle's other files


class Beside(NamedTuple):
    """A file: the store of a folder, and its path in there."""

    folder: Store
    name: str

    @property
    def where(self) -> str:
        return self.folder.path(self.name)

    def read(self) -> bytes:
        try:
            return self.folder.read(self.name)
        except OSError as error:
            raise UserError(f"{self.where}: cannot be read: {one_line(error)}") from error


def find_mapping(place: Store) -> Beside | None:
    """LOC_synset_mapping.txt in the folder ``place`` or that of the file, in the one above, or where Kaggle has it."""
    return _find(place, (MAPPING,))


def readable(synsets: Sequence[str], place: Store) -> tuple[list[str], list[str]]:
    """What the classes at ``place`` are called, in readable names where a mapping is at hand, and a note of that.

    A name that several synsets of the mapping have stands behind each: ``n02012849 crane``.
    """
    mapping = find_mapping(place)
    if mapping is None:
        return list(synsets), []
    words = _words(mapping)
    shared = Counter(words.values())
    names = {synset: f"{synset} {name}" if shared[name] > 1 else name for synset, name in words.items()}
    return [names.get(synset, synset) for synset in synsets], [f"classes are called as {mapping.where} says"]


def validation_synsets(place: Store, labels: str | None, uri: str) -> dict[str, str]:
    """The name of each validation image, without its extension -> its synset; by the file ``labels``, or one at hand.

    Raises UserError where there is none, or what it says is unclear.
    """
    file = _at(labels) if labels is not None else _find(place, LABEL_FILES)
    if file is None:
        raise UserError(
            f"{uri}: ImageNet's validation images, whose labels are in a file of their own ({EXPECTED}): put it beside "
            "them, or name it by --labels"
        )
    return _validation_labels(file, _find(file.folder, (MAPPING,)) or find_mapping(place))


def names_label_file(labels: str) -> bool:
    """Whether ``--labels`` names a file of validation labels, rather than a pattern or a table of keys."""
    path = labels.partition("?")[0] if "://" in labels else labels
    return "{label}" not in path and (path.endswith((".txt", f"{KIT}.tar.gz")) or path.endswith(SOLUTION))


def stem(name: str) -> str:
    """``val/ILSVRC2012_val_00000001.JPEG`` -> ``ILSVRC2012_val_00000001``."""
    return name.rpartition("/")[2].partition(".")[0]


def _validation_labels(labels: Beside, mapping: Beside | None) -> dict[str, str]:
    """The name of a validation image, without its extension -> its synset. Raises UserError for what is unclear.

    Read: Kaggle's LOC_val_solution.csv; lines of a file's name and a synset, or of its name and a number from 0 on,
    which ``mapping`` has the list for; the development kit, packed or its ground truth beside its ``meta.mat``.
    """
    if labels.name.endswith(".csv"):
        return dict(_solution(labels))
    if labels.name.endswith(".tar.gz"):
        truth, numbers = _from_kit(labels)
        return _numbered(labels, truth.split(), _ids(labels, numbers))
    lines = [line.split() for line in _text(labels).splitlines() if line.strip()]
    if lines and all(len(line) == 1 for line in lines):
        meta = Beside(labels.folder, f"{labels.name.rpartition('/')[0]}/meta.mat".lstrip("/"))
        try:
            data = meta.folder.read(meta.name)
        except FileNotFoundError:
            raise UserError(
                f"{labels.where}: holds numbers of the development kit, whose list is in meta.mat; put that beside it, "
                f"or give {KIT}.tar.gz, {SOLUTION} or {LIST}"
            ) from None
        return _numbered(labels, [line[0] for line in lines], _ids(labels, data))
    return dict(_listed(labels, lines, mapping))


def _find(place: Store, names: tuple[str, ...]) -> Beside | None:
    for folder in _folders(place):
        for name in names:
            if folder.info(name).is_file:
                return Beside(folder, name)
    return None


def _folders(place: Store) -> Iterator[Store]:
    """A folder, the one above it, and Kaggle's."""
    folder = place if not place.info().is_file else _above(place)
    yield folder
    if "/" in folder.root.strip("/"):
        yield _above(folder)
    root, found, _ = folder.root.partition(f"/{_DATA}")
    if found and root:
        yield type(place)(place.filesystem, root)


def _above(place: Store) -> Store:
    return type(place)(place.filesystem, place.root.rpartition("/")[0])


def _at(uri: str) -> Beside:
    store = open_store(uri)
    return Beside(_above(store), store.root.rpartition("/")[2])


def _words(mapping: Beside) -> dict[str, str]:
    """Synset -> its first name. Raises UserError for other lines than a synset and its names, with commas."""
    words = {}
    for number, line in enumerate(_text(mapping).splitlines(), 1):
        synset, _, names = line.partition(" ")
        if not SYNSET.fullmatch(synset) or not names.strip():
            raise UserError(
                f"{mapping.where}: line {number} is {line[:60]!r}; expected a synset and its names, such as "
                "n01440764 tench, Tinca tinca"
            )
        words[synset] = names.partition(",")[0].strip()
    return words


def _text(file: Beside) -> str:
    return file.read().decode("utf-8", "replace")


def _solution(file: Beside) -> Iterator[tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(_text(file)))
    if rows.fieldnames is None or not {"ImageId", "PredictionString"} <= set(rows.fieldnames):
        raise UserError(f"{file.where}: expected the columns ImageId and PredictionString, as {SOLUTION} has them")
    for row in rows:
        synset = (row["PredictionString"] or "").partition(" ")[0]
        if not SYNSET.fullmatch(synset):
            raise UserError(f"{file.where}: {row['ImageId']} has {synset!r}; expected a synset such as n01440764")
        yield stem(row["ImageId"]), synset


def _listed(file: Beside, lines: list[list[str]], mapping: Beside | None) -> Iterator[tuple[str, str]]:
    synsets = sorted(_words(mapping)) if mapping else []
    for line in lines:
        name, label = line[0], line[-1]
        if len(line) != 2 or not (SYNSET.fullmatch(label) or label.isdecimal()):
            raise UserError(f"{file.where}: {' '.join(line)[:60]!r}; expected an image and a synset, or its number")
        if label.isdecimal():
            if not synsets:
                raise UserError(f"{file.where}: holds numbers of classes; put {MAPPING} beside it, which lists them")
            if int(label) >= len(synsets):
                raise UserError(
                    f"{file.where}: {name} has label {label}; {MAPPING} has {len(synsets):,} classes, so 0 to "
                    f"{len(synsets) - 1}"
                )
            label = synsets[int(label)]
        yield stem(name), label


def _numbered(file: Beside, truth: list[str], synsets: Mapping[int, str]) -> dict[str, str]:
    """Of the kit: line ``i`` of the ground truth is that of image ``i``."""
    wrong = next((label for label in truth if not label.isdecimal() or int(label) not in synsets), None)
    if wrong is not None:
        raise UserError(f"{file.where}: label {wrong!r} is no ILSVRC2012_ID of meta.mat (1 to {len(synsets)})")
    return {f"ILSVRC2012_val_{image:08d}": synsets[int(label)] for image, label in enumerate(truth, 1)}


def _from_kit(file: Beside) -> tuple[str, bytes]:
    """The ground truth and meta.mat."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(file.read()), mode="r:gz") as kit:
            for member in kit:
                name = member.name.rpartition("/")[2]
                if name in (TRUTH, "meta.mat") and (content := kit.extractfile(member)):
                    found[name] = content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{file.where}: is no readable development kit: {one_line(error)}") from None
    if len(found) < 2:
        raise UserError(f"{file.where}: holds no {TRUTH} beside a meta.mat, as the development kit does")
    return found[TRUTH].decode("ascii", "replace"), found["meta.mat"]


def _ids(file: Beside, meta: bytes) -> dict[int, str]:
    """ILSVRC2012_ID -> synset, of those that are classes: the first 1,000."""
    try:
        from scipy.io import loadmat  # no need of ours otherwise
    except ImportError:
        raise UserError(
            f"{file.where}: the classes are in MATLAB's form: pip install 'ue-ray[imagenet]', or give {SOLUTION}"
        ) from None
    try:
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets if int(row["num_children"]) == 0}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{file.where}: meta.mat cannot be read: {one_line(error)}") from None
