"""Whether a committed output is still what was committed: every byte, count and id and, beside its input, every pixel.

The chain of trust: ``_SUCCESS`` holds the digest of the manifest, the manifest those of the recorded files and of the
noise's card and of the preview, the index of an image folder those of its images, the card that of the tensors.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from pyarrow import fs

from ue_ray.errors import UserError, one_line
from ue_ray.noise.artifact import CARD
from ue_ray.noise.budget import Budget
from ue_ray.noise.config import NoiseConfig
from ue_ray.protection.partial import Partial, protected_classes
from ue_ray.protection.verify_file import FileCheck, FileChecker, Input, Originals, among, digests
from ue_ray.storage.filesystem import join, open_store, read_bytes
from ue_ray.storage.inputs.listing import Source
from ue_ray.storage.inputs.samples import Handling
from ue_ray.storage.outputs.formats import format_of
from ue_ray.storage.outputs.layout import DATA, INDEX, MANIFEST, NOISE, PREVIEW, RECORDED, SUCCESS
from ue_ray.storage.outputs.output import ENDS, FORMAT_VERSION, added_up
from ue_ray.storage.outputs.records import fetched
from ue_ray.storage.outputs.shards import FileRecord

_LEFTOVER = re.compile(rb"(?:.*/)?\.[^/]*\.[0-9a-f]{32}\.tmp", re.DOTALL)  # of a killed writer: nobody's data

CheckAll = Callable[[FileChecker, Iterable[FileRecord]], Iterable[FileCheck]]
"""Applies the checker to each record; the checks come in any order. ``map`` is one."""


Know = Callable[[Source, list[str], Partial | None], Input]
"""Lists an input, given the classes that were none and those that are protected: ``Originals.of``."""


class Verification:
    """The output at ``uri``, verified once: take its ``faults`` to the end, then its ``summary``.

    With ``source``, its input, each listed sample must be in the output exactly once and within the budget. Memory
    while ``faults`` are taken: 20 bytes a sample, beside the input's listing where ``know`` keeps it in this process.
    """

    def __init__(self, uri: str, source: Source | None = None, know: Know = Originals.of) -> None:
        """Raises UserError where there is no committed output."""
        self.uri = uri
        self.count = 0
        try:
            self._success = read_bytes(join(uri, SUCCESS))
        except FileNotFoundError:
            raise UserError(f"{uri}: not a committed output (no {SUCCESS})") from None
        except OSError as error:
            raise UserError(f"{uri}: cannot be read: {type(error).__name__}: {one_line(error)}") from None
        self._source, self._know = source, know
        self._files = self._samples = 0
        self._changes = ""

    def faults(self, check_all: CheckAll = map) -> Iterator[str]:
        """Every fault as one line that names the file, as it is found.

        Raises UserError if the input cannot be listed, RunError if a place is out of reach.
        """
        for fault in self._faults(check_all):
            self.count += 1
            yield fault

    def summary(self) -> str:
        """One line, once the faults have been taken."""
        verdict = f"{self.count:,} fault{'s' * (self.count != 1)}" if self.count else "no fault"
        return f"verified: {self._samples:,} samples in {self._files:,} files{self._changes}: {verdict}; {self.uri}"

    def _faults(self, check_all: CheckAll) -> Iterator[str]:
        try:
            text = read_bytes(join(self.uri, MANIFEST))
        except FileNotFoundError:
            yield f"{MANIFEST}: missing"
            return
        if self._success != f"{hashlib.sha256(text).hexdigest()}\n".encode():
            yield f"{MANIFEST}: sha256 is not the one in {SUCCESS}, so nothing can be checked against it"
            return
        manifest = json.loads(text)
        if manifest["format_version"] != FORMAT_VERSION:
            raise UserError(f"{self.uri}: has format {manifest['format_version']}: this is {FORMAT_VERSION}")
        yield from _counts(manifest)
        yield from _preview(self.uri, manifest)
        yield from _noise(self.uri, manifest)
        partial, dropped = Partial.of(manifest), list(manifest.get("dropped_classes", {}))
        input = self._know(self._source, dropped, partial) if self._source else None
        if input:
            yield from _same_input(manifest, input)
        yield from self._recorded(manifest, input, partial, check_all)

    def _recorded(
        self, manifest: dict[str, Any], input: Input | None, partial: Partial | None, check_all: CheckAll
    ) -> Iterator[str]:
        handling = Handling(**manifest["run"].get("handling", {}))
        lossy = not handling.lossless  # its changes are measured, not judged
        budget = None if lossy else Budget(**manifest["noise"]["budget"])
        protects = protected_classes(partial, manifest["class_names"]).tolist()
        leaves_out = partial is not None and partial.others == "leave-out"
        checker = FileChecker(self.uri, input, budget, handling.max_pixels, protects, leaves_out)
        checks = []
        for check in check_all(checker, [FileRecord(**file) for file in manifest["files"]]):
            yield from check.faults
            check.faults = []
            checks.append(check)
        self._files = len(checks)
        self._samples = sum(len(check.ids) for check in checks)
        if input:
            largest = max((check.largest_change for check in checks), default=0.0)
            self._changes = f", largest change of a pixel {255 * largest:.3g}/255" + " (jpeg: not judged)" * lossy
        yield from _unrecorded(self.uri, checks)
        yield from _twice(checks)
        if all(check.whole for check in checks):  # else what is missing follows from what was said
            if sum((check.reasons for check in checks), Counter()) != Counter(manifest["rejected_reasons"]):
                yield f"{MANIFEST}: rejected_reasons are not those in rejected/"
            if (passed := sum(check.passed for check in checks)) != manifest.get("passed_through", 0):
                counted = manifest.get("passed_through", 0)
                yield f"{MANIFEST}: {counted:,} passed through, but {passed:,} are of classes that are not protected"
            if input:
                ids = np.sort(np.concatenate([digests([]), *(check.ids for check in checks)]))
                for key in input.missing(ids):
                    yield f"input: {key!r}: neither protected nor rejected"


def _counts(manifest: dict[str, Any]) -> Iterator[str]:
    counts = {name: manifest.get(name, 0) for name in ENDS}
    if sum(counts.values()) != manifest["inputs"]:
        yield f"{MANIFEST}: {added_up(counts)} are not {manifest['inputs']:,} inputs"
    for names, of_data in ((("protected", "passed_through"), True), (("rejected",), False)):
        held = {name: counts[name] for name in names}
        rows = sum(file["rows"] for file in manifest["files"] if bool(format_of(file["name"])) == of_data)
        if rows != sum(held.values()):
            yield f"{MANIFEST}: {added_up(held)}, but its files hold {rows:,}"


def _preview(uri: str, manifest: dict[str, Any]) -> Iterator[str]:
    if "preview" not in manifest:
        return
    try:
        if hashlib.sha256(read_bytes(join(uri, PREVIEW))).hexdigest() != manifest["preview"]["sha256"]:
            yield f"{PREVIEW}: sha256 differs from the manifest"
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        yield f"{PREVIEW}: {'missing' if missing else f'cannot be read: {one_line(error)}'}"


def _noise(uri: str, manifest: dict[str, Any]) -> Iterator[str]:
    place, name = join(uri, NOISE), f"{NOISE}/{CARD}"
    try:
        text = read_bytes(join(place, CARD))
        if hashlib.sha256(text).hexdigest() != manifest.get("artifact", {}).get("card_sha256"):
            yield f"{name}: sha256 differs from the manifest"
            return
        card = json.loads(text)
        NoiseConfig.from_json(card["config"])
        tensors = card["tensors"]
        name = f"{NOISE}/{tensors['file']}"
        with fetched(open_store(place), tensors["file"]) as (_, _, sha256):
            if sha256 != tensors["sha256"]:
                yield f"{name}: sha256 differs from the card"
    except FileNotFoundError:
        yield f"{name}: missing"
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        yield f"{name}: cannot be read: {type(error).__name__}: {one_line(error)}"


def _same_input(manifest: dict[str, Any], input: Input) -> Iterator[str]:
    if input.class_names != manifest["class_names"]:
        yield f"input: its classes are not those of {MANIFEST}"
    if input.fingerprint != manifest["listing_fingerprint"]:
        yield f"input: other files, labels or sizes than were protected (its fingerprint is not that of {MANIFEST})"
    if input.left_out != (counted := manifest.get("left_out", 0)):
        yield f"input: {input.left_out:,} images are left out of it, {MANIFEST} has {counted:,}"


def _unrecorded(uri: str, checks: list[FileCheck]) -> Iterator[str]:
    """Files that no record names; a reader would take them for data."""
    others = [check.others for check in checks if check.others is not None]
    known = np.sort(np.concatenate([digests(check.name for check in checks), *others]))
    unread = {check.name.partition("/")[0] for check in checks if check.others is None}
    store = open_store(uri)
    for folder in RECORDED:
        if folder == DATA and INDEX in unread:
            continue  # its images would be taken for unknown ones
        if store.info(folder).type != fs.FileType.Directory:
            continue
        for path, _ in store.walk(folder):
            name = f"{folder}/{path.decode('utf-8', 'backslashreplace')}"
            if not _LEFTOVER.fullmatch(path) and not among(known, digests([name]))[0]:
                yield f"{_shown(name)}: is there but not recorded"


def _twice(checks: list[FileCheck]) -> Iterator[str]:
    """Samples that are there more than once."""
    ids = np.concatenate([digests([]), *(check.ids for check in checks)])
    files = np.repeat(np.arange(len(checks)), [len(check.ids) for check in checks])
    order = np.argsort(ids, kind="stable")
    for place in np.flatnonzero(ids[order][1:] == ids[order][:-1]):
        first, second = (checks[file].name for file in files[order[place : place + 2]])
        sample_id = bytes(ids[order[place]]).ljust(16, b"\0").hex()  # numpy drops trailing zeros
        yield f"{second}: sample_id {sample_id} is also in {first}"


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)
