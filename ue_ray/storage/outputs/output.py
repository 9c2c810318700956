"""The place an output is written to: begun by one run, gone on with by the same, trusted only when committed."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any, Literal

from ue_ray.errors import RunError, UserError, one_line
from ue_ray.storage.filesystem import open_store
from ue_ray.storage.outputs.formats import files_beside
from ue_ray.storage.outputs.layout import MANIFEST, OURS, OWNER, PART, PREVIEW, RECORDED, RUN, SUCCESS, WORK
from ue_ray.storage.outputs.shards import ShardRecord

FORMAT_VERSION = 2

Mode = Literal["refuse", "resume", "overwrite"]

ENDS = ("protected", "passed_through", "rejected", "left_out")
"""What an input may end as, as the manifest counts them."""


class CommitError(RunError):
    """What was written does not add up to what was listed; the output stays uncommitted. ``str(error)`` is one line."""


class Output:
    """A folder, local or in a bucket: ``data/``, ``rejected/``, ``noise/``, ``manifest.json`` and, last, ``_SUCCESS``.

    A run claims the place with its card (what it does, to which input), so that only the same run can go on with it.
    ``begun``: it has done so, and what it writes from then on is kept for a run that resumes.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._store = open_store(uri)
        self.owner = uuid.uuid4().hex
        self.started = ""
        self.begun = False

    def check(self, mode: Mode) -> None:
        """Raises UserError at once if ``begin`` would refuse the place as it is, or could not write to it."""
        if not self._refuse(mode):
            try:
                self._store.check_writable()
            except OSError as error:
                raise UserError(f"{self.uri}: cannot be written: {one_line(error)}") from error

    def _refuse(self, mode: Mode) -> set[str]:
        """What the place holds. Raises UserError if a run in this mode may not begin there."""
        held = self._held()
        if not held:
            return held
        ours = SUCCESS in held or self._run() is not None
        if mode == "refuse":
            state = (
                "holds a committed output"
                if SUCCESS in held
                else "holds an unfinished run"
                if ours
                else f"is not empty (holds {min(held)})"
            )
            advice = "--mode resume goes on with it, --mode overwrite removes it" if ours else "choose an empty place"
            raise UserError(f"{self.uri}: {state}: {advice}")
        if not ours:
            raise UserError(f"{self.uri}: holds {min(held)}, and no run of this tool: choose an empty place")
        return held

    def begin(self, mode: Mode, card: dict[str, Any]) -> dict[str, Any] | None:
        """Claim the place for the run that ``card`` describes; returns the manifest if that run is finished already.

        Raises UserError if something else is there, and says in what it differs, or if the place cannot be written.
        """
        try:
            for name in self._refuse(mode):
                if name.startswith(
                    (f".{PREVIEW}.", f".{MANIFEST}.", f".{SUCCESS}.")
                ):  # of a run that was killed in its commit
                    self._store.remove(name)
            if mode == "overwrite":
                self.remove()
            card = json.loads(json.dumps(card))
            if self.is_committed():
                manifest = self.manifest()
                self._check_same(manifest.get("run", {}), card)
                return manifest
            started = datetime.now(UTC).isoformat(timespec="seconds")
            run: dict[str, Any] = {"card": card, "started": started, "by": self.owner}
            # Writing is tried now, not when hours of crafting are done: the bucket may be missing, the disk read-only.
            if not self._store.create_exclusive(RUN, json.dumps(run, indent=2).encode()):
                if mode == "refuse":
                    raise UserError(f"{self.uri}: another run has just begun here")
                run = self._run() or run
                self._check_same(run["card"], card)
            self.started = run["started"]
            self._store.write(OWNER, self.owner.encode())
            self.begun = True
        except OSError as error:
            raise UserError(f"{self.uri}: cannot be written: {one_line(error)}") from error
        return None

    def remove(self) -> None:
        """Delete what runs have written here, and nothing else; ``_SUCCESS`` first."""
        held = self._held()
        if held:  # if this is cut off, what is left is known as a run's
            self._store.create_exclusive(RUN, b'{"card": {}}')
            held.add(WORK)
        for name in OURS:
            if name not in held:
                continue
            if self._store.info(name).is_file:
                self._store.remove(name)
            else:
                self._store.remove_tree(name)

    def write_preview(self, page: str) -> str:
        """Writes the page beside the manifest; returns its SHA-256 (hex), for the manifest."""
        text = page.encode()
        self._store.write(PREVIEW, text)
        return sha256(text).hexdigest()

    def commit(
        self, listing_count: int, records: Iterable[ShardRecord], extra: dict[str, Any], left_out: int = 0
    ) -> dict[str, Any]:
        """Check that every input ended as exactly one of protected, passed through, rejected and left out, then write
        the manifest and _SUCCESS.

        ``listing_count`` is the number of samples listed, ``left_out`` how many more the input holds, which a selection
        left out; ``extra`` goes into the manifest beside its own keys.
        ``_SUCCESS`` holds the manifest's SHA-256 and is created by one writer only: of two runs that end here at once
        the other gets a CommitError. Two that do the same work write the same manifest. Returns the manifest.
        Raises CommitError if counts, files or sizes differ from the records, before writing.
        """
        records = sorted(records, key=lambda record: record.index)
        for record, following in pairwise(records):
            if record.index == following.index:
                raise CommitError(f"{self.uri}: shard {record.index} is recorded twice")
        ends = [(record.protected, record.passed, record.rejected, record.left_out) for record in records]
        counts = {
            name: sum(column) for name, column in zip(ENDS, zip(*ends, (0, 0, 0, left_out), strict=True), strict=True)
        }
        inputs, total = listing_count + left_out, sum(counts.values())
        if total != inputs:
            raise CommitError(f"{self.uri}: {inputs} inputs, but {added_up(counts)} = {total} ({total - inputs:+d})")
        files = [file for record in records for file in record.files]
        self._check_files({file.name: file.bytes for file in files})
        reasons: Counter[str] = Counter()
        for record in records:
            reasons.update(record.reasons)
        run = self._run()
        if run is None or not self._is_owner():
            done = ", and has committed it" if self.is_committed() else ""
            raise CommitError(f"{self.uri}: another run has taken this output over{done}")
        manifest = {
            "format_version": FORMAT_VERSION,
            "created": self.started,
            "run": run["card"],
            "inputs": inputs,
            **counts,
            "rejected_reasons": dict(reasons.most_common()),
            "files": [asdict(file) for file in files],
        }
        if clash := sorted(manifest.keys() & extra.keys()):
            raise ValueError(f"extra repeats the manifest's own keys: {', '.join(clash)}")
        manifest |= extra
        text = json.dumps(manifest, indent=2).encode()
        self._store.write(MANIFEST, text)
        if not self._store.create_exclusive(SUCCESS, f"{sha256(text).hexdigest()}\n".encode()):
            raise CommitError(f"{self.uri}: another run has committed this output first")
        self._store.remove_tree(WORK)
        return json.loads(text)

    def is_committed(self) -> bool:
        return self._store.info(SUCCESS).is_file

    def manifest(self) -> dict[str, Any]:
        """The manifest of a committed output. Raises UserError if it is not committed, or by another version."""
        if not self.is_committed():
            raise UserError(f"{self.uri}: not a committed output (no {SUCCESS})")
        manifest = json.loads(self._store.read(MANIFEST))
        if manifest["format_version"] != FORMAT_VERSION:
            raise UserError(f"{self.uri}: has format {manifest['format_version']}: this is {FORMAT_VERSION}")
        return manifest

    def _held(self) -> set[str]:
        try:
            if self._store.info().is_file:
                raise UserError(f"{self.uri}: is a file; choose an empty place or remove it")
            return set(self._store.names())
        except OSError as error:
            raise UserError(f"{self.uri}: cannot be read: {one_line(error)}") from error

    def _run(self) -> dict[str, Any] | None:
        text = self._store.read_if_there(RUN)
        return json.loads(text) if text else None

    def _is_owner(self) -> bool:
        return self._store.read_if_there(OWNER) == self.owner.encode()

    def _check_same(self, there: dict[str, Any], asked: dict[str, Any]) -> None:
        differences = sorted(
            f"{name} {_shown(name, before)} there, {_shown(name, now)} now"
            for name, before, now in _differences(there, asked)
        )
        if differences:
            more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
            raise UserError(f"{self.uri}: belongs to another run: {'; '.join(differences[:3])}{more}")

    def _check_files(self, recorded: dict[str, int]) -> None:
        found: dict[str, int] = {}
        for folder in RECORDED:  # three listings, not a request a file
            for info in self._store.entries(folder):
                if info.is_file and info.base_name.startswith(PART):
                    found[f"{folder}/{info.base_name}"] = info.size
        beside = [name for record in recorded for name in files_beside(record)]
        for name in (*recorded, *beside):
            if name not in found:
                raise CommitError(f"{self.uri}: {name} is recorded but missing")
        for name, size in recorded.items():
            if found[name] != size:
                raise CommitError(f"{self.uri}: {name} has {found[name]} bytes, but {size} are recorded")
        if unknown := sorted(found.keys() - recorded.keys() - set(beside)):
            raise CommitError(f"{self.uri}: {unknown[0]} is there but in no record; a reader would take it for data")


def added_up(counts: Mapping[str, int]) -> str:
    """``{"protected": 2, "rejected": 1}`` -> ``"2 protected + 1 rejected"``; what is neither of the two and 0 is left
    away."""
    shown = {name: count for name, count in counts.items() if count or name in ("protected", "rejected")}
    return " + ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in shown.items())


def _differences(there: Any, asked: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(there, dict) and isinstance(asked, dict):
        return [
            difference
            for key in there.keys() | asked.keys()
            for difference in _differences(there.get(key), asked.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if there == asked else [(name, there, asked)]


def _shown(name: str, value: Any) -> str:
    if name.endswith("epsilon") and isinstance(value, float):
        return f"{value * 255:g}/255"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
