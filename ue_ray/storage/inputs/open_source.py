"""From a name, path or URI to the Source that can list and read it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pyarrow import fs

from ue_ray.errors import UserError, flag, one_line
from ue_ray.storage.filesystem import absolute, join, open_store, overlap
from ue_ray.storage.inputs.builtin import BUILTINS, builtin_source
from ue_ray.storage.inputs.committed import OutputSource
from ue_ray.storage.inputs.folder import FolderSource
from ue_ray.storage.inputs.hub import check_hub
from ue_ray.storage.inputs.imagenet import ImageNetFolder, imagenet_source, with_readable_names
from ue_ray.storage.inputs.imagenet_tars import ImageNetTars
from ue_ray.storage.inputs.labels import check_rule, is_parquet, is_table
from ue_ray.storage.inputs.listing import Listing, Source
from ue_ray.storage.inputs.parquet import ParquetSource, parquet_files
from ue_ray.storage.inputs.patterns import may_hold, split_pattern
from ue_ray.storage.inputs.recordio import RecordSource, is_record_file, record_files, record_source
from ue_ray.storage.inputs.selection import ClassChoice, SelectedSource, Selection
from ue_ray.storage.inputs.splits import chosen_split, splits_of_files, splits_of_folder
from ue_ray.storage.inputs.tar_files import is_tar, refuse_compressed, tar_files
from ue_ray.storage.inputs.visible import is_visible
from ue_ray.storage.inputs.webdataset import WebDatasetSource
from ue_ray.storage.outputs.layout import DATA, MANIFEST, NOISE, OURS, SUCCESS, WORK
from ue_ray.storage.store import Store

__all__ = ["BUILTINS", "Listing", "Source", "glance", "keep_apart", "open_source", "with_classes_of"]


def open_source(
    uri: str,
    labels: str | None = None,
    *,
    classes: str | Sequence[str] | None = None,
    per_class: int | None = None,
    per_class_seed: int | None = None,
    **reading: Any,
) -> Source:
    """Returns what can list and read the input at ``uri``, or some of its classes and images.

    ``classes``: their names, separated by commas or in a list; ``@FILE``, with a name on each line; or ``first:N``, the
    first N of the input. They are numbered anew. ``per_class``: at most so many images of each class, drawn by their
    ids and by ``per_class_seed``. ``labels`` and ``reading`` are for ``find_source``. Raises UserError for a mistake;
    a class that there is not is one when the input is listed.
    """
    if per_class is not None and per_class < 1:
        raise UserError(f"--per-class is {per_class}: it must be at least 1")
    if per_class_seed is not None and per_class is None:
        raise UserError("--per-class-seed is for --per-class: it draws the images")
    choice = None if classes is None else ClassChoice.of("--classes", classes)
    source = find_source(uri, labels, **reading)
    if choice is None and per_class is None:
        return source
    return SelectedSource(source, Selection(choice, per_class, per_class_seed or 0))


def with_classes_of(source: Source, class_names: Sequence[str]) -> Source:
    """Returns ``source`` without the classes that are not among ``class_names``; it may lack some of those."""
    return SelectedSource(source, Selection(ClassChoice("--classes", tuple(class_names), strict=False)))


def find_source(
    uri: str,
    labels: str | None = None,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    label_field: str | None = None,
    split: str | None = None,
    follow_links: bool = False,
    data_dir: str | None = None,
    download: bool = False,
) -> Source:
    """Find out what ``uri`` is. In this order:

    - one of BUILTINS, by name (write ``./mnist5k`` for a folder of that name): it lies in ``data_dir``, by default in
      the user's cache, and is fetched to it where it is missing with ``download``;
    - a Parquet file (``.parquet`` or ``.pq``), or a WebDataset tar (``.tar``);
    - a pattern of tars, where nothing is called so: ``train-{000000..000147}.tar``, ``shards/*.tar``;
    - an output of this toolkit, if it is committed: its protected images, in whatever format;
    - ImageNet as it is downloaded: ``imagenet_source`` has its forms;
    - a RecordIO file (``.rec``), or a folder with some directly in it;
    - a folder of tars, with no image in it (what else lies beside them does not count);
    - a folder of Parquet files (no other file inside a folder of it; hidden and ``_`` names do not count);
    - any other folder: a folder of class folders, or of ``train``, ``test`` and the like with the same class folders.

    ``labels`` says where labels come from, if not from class folders or a column ``label``. For a folder:

    - a pattern of the key such as ``users/{label}/*``, relative to the input: ``*`` is anything but ``/``, ``**``
      anything at all (``**/`` any number of folders), ``{label}``, exactly one, some text without ``/``, and all else
      stands for itself;
    - a table: a URI that ends in ``.csv``, ``.parquet`` or ``.pq``, with columns ``key`` (relative to the input, of one
      label each, each in the input) and ``label`` (text or whole numbers); or in ``.txt``, with a key and, after its
      last space, a label on each line.

    A file that the pattern or the table passes over gets label -1 and is read as a failure. For WebDataset tars the
    same, of the keys in their listing; ``label_field`` is where else their labels may stand. For Parquet: the name of
    the column, of integers or text, as ``label_column`` is. Class names made from text are sorted. ``image_column``
    names the images of Parquet; ``columns`` has the rules for what is taken where no column is named.

    ``split`` is one of the source's ``splits``; None takes ``train`` where there are several, and says so in the
    source's ``split``. With ``labels`` a folder has no splits. Links of a local folder are followed where they lead to
    what lies inside it; ``follow_links`` follows all.

    The source holds absolute paths only. Raises UserError where there is nothing, or something else.
    """
    columns = {"--image-column": image_column, "--label-column": label_column}
    field = {"--label-field": label_field}
    if uri in BUILTINS:
        _refuse(f"{uri}: has labels of its own", {"--labels": labels} | columns | field)
        _refuse(f"{uri}: is no folder", {"--follow-links": follow_links or None})
        return builtin_source(uri, split, data_dir, download)
    by_name = {"--data-dir": data_dir, "--download": download or None}
    _refuse(f"{uri}: is no data set known by name ({', '.join(BUILTINS)})", by_name)
    check_hub(uri)
    store = open_store(uri)
    uri = absolute(uri)
    try:
        kind = store.info().type
        is_folder = kind == fs.FileType.Directory
        if is_folder and _is_output(store, uri):
            own = {"--labels": labels} | columns | field | {"--split": split}
            _refuse(f"{uri}: is an output with labels of its own", own)
            return OutputSource(uri)
        exists = kind != fs.FileType.NotFound
        if exists and (imagenet := imagenet_source(uri, store, labels, split, follow_links)) is not None:
            _refuse(f"{uri}: is ImageNet", columns | field)
            return imagenet
        records = record_files(store) if is_folder else []
        if records or (exists and not is_folder and is_record_file(store.root)):
            _refuse(f"{uri}: is RecordIO with labels of its own", {"--labels": labels} | columns | field)
            _refuse(f"{uri}: is RecordIO", {"--follow-links": follow_links or None})
            return record_source(uri, records, split)
        if (tars := _tars(uri, store, kind, labels, label_field, split, follow_links)) is not None:
            _refuse(f"{uri}: is not Parquet", columns)
            return tars
        if not exists:
            pattern = "; a pattern names tars, and ends in .tar" if split_pattern(uri) else ""
            raise UserError(f"{uri}: does not exist, nor is it a built-in data set ({', '.join(BUILTINS)}){pattern}")
        _refuse(f"{uri}: is no WebDataset tar", field)
        if not is_folder and not is_parquet(store.root):
            raise UserError(
                f"{uri}: is a file; expected a .parquet, .tar or .rec file, or a folder (of class folders, or of such "
                f"files)"
            )
        names = parquet_files(store, follow_links) if is_folder else []
        if names or not is_folder:
            if labels and label_column:
                raise UserError(f"--labels {labels!r} and --label-column {label_column!r} say the same: give one")
            if not is_folder:
                _refuse(f"{uri}: is one file", {"--split": split})
            splits = splits_of_files(names)
            chosen = chosen_split(uri, splits, split)
            return ParquetSource(uri, labels or label_column, image_column, chosen, splits, follow_links)
        _refuse(f"{uri}: is not Parquet", columns)
        if labels is not None:
            if split is not None:
                raise UserError(
                    f"{uri}: --split {split!r} does not go with --labels: give {join(uri, split)} as the input"
                )
            check_rule(labels)
            return FolderSource(uri, absolute(labels) if is_table(labels) else labels, follow_links=follow_links)
        splits = splits_of_folder(store, uri)
        chosen = chosen_split(uri, splits, split or (splits[0] if len(splits) == 1 else None))
        if chosen and store.leads_out(chosen) and not follow_links:
            raise UserError(f"{uri}: {chosen} is a link that leads outside the input: --follow-links follows it")
        place = join(uri, chosen) if chosen else uri
        return with_readable_names(FolderSource(place, split=chosen, splits=splits, follow_links=follow_links))
    except (OSError, ValueError) as error:  # ValueError: a name that Arrow cannot say
        raise UserError(f"{uri}: cannot be read: {one_line(error)}") from error


def keep_apart(output: str, reads: Mapping[str, str | None]) -> None:
    """Raises UserError if the place to write holds one of ``reads``, by name, or lies in it.

    A run that replaces its output would remove what it reads; one that writes into its input would read that as data.
    """
    for name, place in reads.items():
        if place is not None and place not in BUILTINS and (overlap(output, place) or _pattern_meets(place, output)):
            raise UserError(f"--output {output} and {flag(name)} {place}: one lies in the other; choose a place apart")


def glance(source: Source, only: ClassChoice | None = None) -> None:
    """Raises UserError for what a first look shows that it cannot be protected: before anything starts.

    ``only``: classes that must be there, too.
    """
    choices = [only]
    if isinstance(source, SelectedSource):
        choices.insert(0, source.selection.classes)
        source = source.source
    if isinstance(
        source, FolderSource | ParquetSource | WebDatasetSource | RecordSource | ImageNetTars | ImageNetFolder
    ):
        source.glance()
    if isinstance(source, FolderSource) and source.labels is None and any(choices):
        names: Sequence[str] = source.folders()
        for choice in filter(None, choices if names else ()):  # without folders, all is one class
            names = choice.among(names)


def _tars(
    uri: str,
    store: Store,
    kind: fs.FileType,
    labels: str | None,
    label_field: str | None,
    split: str | None,
    follow_links: bool,
) -> WebDatasetSource | None:
    """The WebDataset tars at ``uri``; None where there are none. Raises UserError for tars that cannot be read so."""
    folder, pattern, splits = uri, None, tuple[str, ...]()
    if kind == fs.FileType.Directory:
        files = tar_files(store, uri, follow_links)
        if not files:
            return None
        splits = splits_of_files(name for name, _ in files)
    elif kind == fs.FileType.NotFound:
        if (parts := split_pattern(uri)) is None or not is_tar(parts[1]):
            return None
        folder, pattern = parts
    elif not is_tar(store.root):
        refuse_compressed(uri, store.root)
        return None
    if kind != fs.FileType.Directory:
        _refuse(f"{uri}: names the tars that are read", {"--split": split})
    if labels is not None:
        if label_field is not None:
            raise UserError(f"--labels {labels!r} and --label-field {label_field!r} say the same: give one")
        check_rule(labels)
        labels = absolute(labels) if is_table(labels) else labels
    chosen = chosen_split(uri, splits, split)
    return WebDatasetSource(uri, folder, pattern, labels, label_field, chosen, splits, follow_links)


def _pattern_meets(place: str, output: str) -> bool:
    """Whether files that ``place`` names by a pattern may lie in ``output``, or it in one of them."""
    if (parts := split_pattern(absolute(place))) is None:
        return False
    folder, pattern = parts
    if not overlap(output, folder):
        return False
    depth = len(open_store(folder).location)
    return may_hold(pattern, open_store(output).location[depth:])


def _is_output(store: Store, uri: str) -> bool:
    """Whether an output of this toolkit lies here. Raises UserError for one that is not committed."""
    entries = {name for name in store.names() if is_visible(name)}
    # Nothing else may lie there: who adds a manifest.json to an input must not make an output of it.
    if not entries <= set(OURS):
        return False
    if WORK not in entries and not (entries & {DATA, SUCCESS} and entries & {NOISE, MANIFEST}):
        return False
    if SUCCESS not in entries:
        raise UserError(f"{uri}: an output that is not committed (no _SUCCESS): its run failed or still goes on")
    return True


def _refuse(what: str, options: Mapping[str, str | bool | None]) -> None:
    """Raise UserError for the first option that is given."""
    for option, value in options.items():
        if value is not None:
            shown = option if value is True else f"{option} {value!r}"
            raise UserError(f"{what}; {shown} cannot be used with it")
