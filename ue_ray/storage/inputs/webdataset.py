"""WebDataset: tars of images and their labels, as img2dataset and the webdataset library write them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from ue_ray.errors import ReadFailure, UserError, one_line
from ue_ray.storage.filesystem import join, open_store
from ue_ray.storage.inputs.folder import GLANCE, LEFT_BEHIND, READERS
from ue_ray.storage.inputs.labels import first_names, own_name
from ue_ray.storage.inputs.listing import Listing, ids_of, in_one
from ue_ray.storage.inputs.patterns import matching_files
from ue_ray.storage.inputs.pieces import read_pieces
from ue_ray.storage.inputs.splits import split_of
from ue_ray.storage.inputs.tar_classes import labels_of, of_keys, of_samples
from ue_ray.storage.inputs.tar_files import refuse_tars, tar_files
from ue_ray.storage.inputs.tar_index import TarIndex
from ue_ray.storage.inputs.tar_samples import NO_IMAGE, TarSamples, is_image, list_tar
from ue_ray.storage.local import LocalStore

T = TypeVar("T")

_FilesFound = list[tuple[str, int]]  # names relative to the folder, and sizes in bytes


@dataclass(frozen=True)
class WebDatasetSource:
    """The samples of one tar, of the tars below a folder, or of those that a pattern names.

    In the order of the tars' names, then of the samples in them. A key is the tar's name and the image's name in it,
    ``train-000000.tar/cats/1.jpg``. The label is what ``labels`` says of the key (a pattern or a table, as for a
    folder); or the field ``label_field`` of the sample's ``.json`` (``txt``: the text in its ``.txt``); or, where
    neither is given, its ``.cls``, else a usual field of its ``.json``, else a folder of its key (``tar_classes``).

    ``uri``: what was asked for. ``pattern``: relative to ``folder``; None where all tars there are meant, or ``folder``
    is a tar itself. Of the ``splits`` of a folder only ``split`` is read.
    """

    uri: str
    folder: str
    pattern: str | None = None
    labels: str | None = None
    label_field: str | None = None
    split: str | None = None
    splits: tuple[str, ...] = ()
    follow_links: bool = False

    def glance(self) -> None:
        """Raises the UserError of ``list`` that the first GLANCE files of the first tar show; of one small tar, all."""
        files = self._files()
        name, size = next((file for file in files if file[1]), files[0])
        first = self._of_tar(name, size, lambda tar: list(islice(tar, GLANCE)))
        if not any(is_image(member.name) for member in first):
            refuse_tars(self._where(name), [member.name for member in first])
        if len(files) == 1 and len(first) < GLANCE:
            self.list()

    def list(self) -> Listing:
        files = self._files()
        # Locally there is no latency to hide, and reading headers is Python's work.
        local = isinstance(open_store(self.folder), LocalStore)
        with ThreadPoolExecutor(2 if local else READERS) as pool:
            look = partial(list_tar, asked=self.label_field)
            tars = list(pool.map(lambda file: self._of_tar(file[0], file[1], look), files))
        shown = [name or own_name(self.uri) for name, _ in files]
        rows = _joined(files, shown, tars)
        if len(rows) and pc.all(pc.is_in(rows["fault"], pa.array([NO_IMAGE, LEFT_BEHIND.reason]))).as_py():
            self._refuse(rows)
        keys = in_one(pc.binary_join_element_wise(rows["tar"], rows["name"], "/"))
        fields = next((tar.fields for tar in tars if tar.fields), ())
        given = (
            of_keys(keys, rows["fault"], self.labels)
            if self.labels is not None
            else of_samples(rows, self.label_field, fields, self.uri if self.pattern is None else self.folder)
        )
        labels, class_names, own_numbers, fault = labels_of(given)
        if len(rows) and not class_names:
            raise UserError(
                f"{self.uri}: none of {len(rows):,} samples can be protected, such as {keys[0]}: {fault[0]}"
            )
        columns = {"sample_id": ids_of(keys), "key": keys, "label": labels, "fault": fault}
        columns |= {name: rows[name] for name in ("nbytes", "file", "offset")}
        note = "; ".join(filter(None, (given.note, *_notes(shown, tars))))
        listing = Listing(pa.table(columns), class_names, own_numbers, note).check(self.uri)
        pa.default_memory_pool().release_unused()  # what joining took; the process lives on beside the listing
        return listing

    def read(self, rows: pa.Table) -> Iterator[bytes | ReadFailure]:
        wanted = rows.filter(pc.is_null(rows["fault"]))
        places = (wanted[name].to_pylist() for name in ("file", "offset", "nbytes"))
        images = read_pieces(open_store(self.folder), *places)
        for fault in rows["fault"].to_pylist():
            yield next(images) if fault is None else ReadFailure(fault)

    def _where(self, name: str) -> str:
        return join(self.folder, name) if name else self.uri

    def _files(self) -> _FilesFound:
        """The tars; one empty name where ``folder`` is a tar itself."""
        try:
            if self.pattern is not None:
                return matching_files(self.uri, self.folder, self.pattern)
            store = open_store(self.folder)
            info = store.info()
            if info.is_file:
                return [("", info.size)]
            found = tar_files(store, self.uri, self.follow_links)
        except OSError as error:
            raise UserError(f"{self.uri}: cannot be listed: {one_line(error)}") from error
        files = [(name, size) for name, size in found if self.split is None or split_of(name) == self.split]
        if not files:
            raise UserError(f"{self.uri}: holds no .tar file")
        return files

    def _of_tar(self, name: str, size: int, look: Callable[[TarIndex], T]) -> T:
        """What ``look`` finds in a tar. Raises UserError for one that cannot be read."""
        try:
            return look(TarIndex(open_store(self.folder), name, 0, size))
        except OSError as error:
            raise UserError(f"{self._where(name)}: cannot be read: {one_line(error)}") from error

    def _refuse(self, rows: pa.Table) -> None:
        """Raises UserError for tars without an image."""
        names = rows["name"].slice(0, GLANCE).to_pylist()
        refuse_tars(self.uri, names)
        raise UserError(
            f"{self.uri}: no image in the tars; expected samples such as 000.jpg and 000.cls; found "
            f"{len(rows):,} such as {', '.join(names[:3])}"
        )


def _joined(files: _FilesFound, shown: Sequence[str], tars: Sequence[TarSamples]) -> pa.Table:
    """The rows of all tars, with the columns ``file``, the tar's name, and ``tar``, the name that is shown."""
    parts = [
        tar.table.append_column("file", pa.repeat(name, len(tar.table))).append_column(
            "tar", pa.repeat(called, len(tar.table))
        )
        for (name, _), called, tar in zip(files, shown, tars, strict=True)
    ]
    return pa.concat_tables(parts).combine_chunks()


def _notes(names: Sequence[str], tars: Sequence[TarSamples]) -> Iterator[str]:
    """What the user should know of the tars, a part of a line each."""
    beside = [(tar.beside[0], name) for name, tar in zip(names, tars, strict=True) if tar.beside[1]]
    if beside:
        count = sum(tar.beside[1] for tar in tars)
        example = f"such as {beside[0][0]} in {beside[0][1]}"
        yield f"{_many(count, 'image')} beside the one of a sample left out, {example}"
    if links := sum(tar.links for tar in tars):
        yield f"{_many(links, 'link')} in the tars not read"
    open_ended = [name for name, tar in zip(names, tars, strict=True) if not tar.whole and len(tar.table)]
    if open_ended:
        yield f"without the mark of a tar's end, so perhaps cut: {first_names(open_ended)}"
    if empty := [name for name, tar in zip(names, tars, strict=True) if not len(tar.table)]:
        yield f"tars without a file: {first_names(empty)}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count > 1)}"
