"""Decode -> perturb -> round once -> encode -> decode again and measure the change, one shard at a time."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa

from ue_ray.errors import RunError
from ue_ray.images.codec import NO_TRANSPARENCY, ImageError, Picture, decode
from ue_ray.images.quality import Likeness, psnr_of, ssim_of_pairs
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.crafted import Noise
from ue_ray.protection.class_map import NO_NOISE, ClassMap, labels_for_artifact
from ue_ray.protection.looks import Look, Looks
from ue_ray.protection.partial import Partial, protected_classes, rows_left_out
from ue_ray.storage.inputs.listing import NO_LABEL, Source
from ue_ray.storage.inputs.samples import DEFAULT_HANDLING, Handling, Rejected, Sample, decode_rows
from ue_ray.storage.outputs.names import NO_HASHES
from ue_ray.storage.outputs.records import is_intact, read_record, write_record
from ue_ray.storage.outputs.shards import ShardRecord, ShardWriter

GRAIN = 64  # images perturbed at a time, whatever a shard's size
GRAIN_PIXELS = 8_000_000  # decoded pixels held at a time (or one image, if it alone has more)


@dataclass(frozen=True)
class Change:
    """What was measured on decoded outputs.

    ``largest`` is the largest change of a pixel's channel, in [0, 1] units. ``survived`` and ``applied`` are sums over
    all pixels, in squared 8-bit levels: of the change before encoding times the change after, and of its square;
    ``written`` is that of the square of the change after.
    """

    largest: float = 0.0
    survived: int = 0
    applied: int = 0
    written: int = 0

    def __add__(self, other: Change) -> Change:
        return Change(
            max(self.largest, other.largest),
            self.survived + other.survived,
            self.applied + other.applied,
            self.written + other.written,
        )

    @property
    def surviving_share(self) -> float:
        """The share of the noise that survives the encoding: 1 where it is lossless, or where there is none."""
        return self.survived / self.applied if self.applied else 1.0


@dataclass(frozen=True)
class ShardResult:
    """What a shard became: its record, the change measured on its outputs, and how many inputs a note was made on.

    ``artifact``: the digest of the noise it was made with. ``examples``: a rejected key, by reason. ``renamed`` and
    ``extensions``: those of the ShardWriter. ``looks``: images to be shown.
    """

    record: ShardRecord
    change: Change
    notes: dict[str, int]
    artifact: str = ""
    examples: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, int] = field(default_factory=dict)
    looks: Looks = field(default_factory=Looks)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ShardResult:
        fields = json.loads(text)
        fields["record"] = ShardRecord.from_json(json.dumps(fields["record"]))
        fields["change"] = Change(**fields["change"])
        fields["looks"] = Looks.from_json(fields.get("looks", {}))
        return cls(**fields)


class BudgetBroken(RunError):
    """A lossless output is not what was meant, or exceeds its budget: a bug, and nothing is committed."""


class ShardProtector:
    """Protects shards of one listing with one artifact, of which ``noise`` gives the deltas, those of its own classes
    or of others by ``class_map``. ``shared``: what ``shared_names`` found of the listing; ``partial``: which classes
    are protected, if not all."""

    def __init__(
        self,
        source: Source,
        class_names: list[str],
        artifact: NoiseArtifact,
        noise: Noise,
        output: str,
        handling: Handling = DEFAULT_HANDLING,
        class_map: ClassMap | None = None,
        shared: np.ndarray = NO_HASHES,
        partial: Partial | None = None,
    ) -> None:
        self.source = source
        self.shared = shared
        self.class_names = class_names
        self.output = output
        self.handling = handling
        self.config = artifact.config
        self.noise = noise
        self.partial = partial
        self.protects = protected_classes(partial, class_names).tolist()
        self.artifact_labels = labels_for_artifact(
            class_names, artifact.config.class_names, class_map or {}, self.protects
        )
        self.artifact = artifact.digest

    def finished(self, index: int) -> ShardResult | None:
        """What shard ``index`` became, if it was done with this artifact before and its files are still whole."""
        text = read_record(self.output, index)
        result = ShardResult.from_json(text) if text else None
        if result is None or result.artifact != self.artifact or not is_intact(self.output, result.record):
            return None
        return result

    def protect(self, index: int, rows: pa.Table) -> ShardResult:
        """Write shard ``index``, made of ``rows`` of the listing. Safe to repeat: the same rows give the same file."""
        change, notes, looks = Change(), Counter[str](), list[Look]()
        format, extension = self.handling.format, self.handling.extension
        left_out = rows_left_out(self.partial, self.class_names, rows["label"].to_numpy())
        rows = rows.filter(pa.array(~left_out))
        labels = rows["label"].to_numpy()
        noises = self.artifact_labels[labels[labels != NO_LABEL]]
        self.noise.expect(noises[noises != NO_NOISE])
        with ShardWriter(self.output, index, self.class_names, format, extension, self.shared) as writer:
            writer.leave_out(int(np.count_nonzero(left_out)))
            samples: list[Sample] = []
            pixels = 0
            for entry in decode_rows(self.source, rows, self.handling):
                if isinstance(entry, Rejected):
                    writer.add_rejected(entry.sample_id, entry.key, entry.reason, entry.label)
                    continue
                samples.append(entry)
                pixels += entry.image.size // 3
                if len(samples) == GRAIN or pixels >= GRAIN_PIXELS:
                    change += self._write(samples, writer, notes, looks)
                    samples, pixels = [], 0
            change += self._write(samples, writer, notes, looks)
        result = ShardResult(
            writer.close(),
            change,
            dict(sorted(notes.items())),
            self.artifact,
            writer.examples(),
            writer.renamed,
            dict(writer.extensions),
            Looks.of(looks),
        )
        write_record(self.output, index, result.to_json())
        return result

    def _write(self, samples: list[Sample], writer: ShardWriter, notes: Counter[str], looks: list[Look]) -> Change:
        """Perturb and write ``samples``, count their notes; returns the change measured on what was protected."""
        total = Change()
        written: list[tuple[Sample, bytes, np.ndarray, Change]] = []
        for sample, image in zip(samples, self._images(samples), strict=True):
            try:
                encoded = self.handling.encode(image, sample.picture)
            except ImageError as error:  # larger than the encoding allows
                writer.add_rejected(sample.sample_id, sample.key, str(error), sample.label)
                continue
            # Bytes of our own making: decoded here, in this process.
            decoded = decode(encoded, self.handling.max_pixels)
            change = self._change(sample, image, decoded)
            written.append((sample, encoded, decoded.rgb, change))
        similarities = ssim_of_pairs([(sample.image, rgb) for sample, _, rgb, _ in written])
        for (sample, encoded, _, change), similarity in zip(written, similarities, strict=True):
            decibels = psnr_of(change.written, sample.image.size) if change.written else None
            likeness = Likeness(decibels, similarity)
            notes.update(self._notes(sample.picture))
            if not self.protects[sample.label]:
                writer.add_passed(sample.sample_id, encoded, sample.key, sample.label, likeness)
                continue
            writer.add_protected(sample.sample_id, encoded, sample.key, sample.label, likeness)
            looks.append(Look(sample.sample_id, sample.label, writer.index, likeness))
            total += change
        return total

    def _notes(self, picture: Picture) -> tuple[str, ...]:
        lost = self.handling.encoding == "jpeg" and picture.alpha is not None and picture.alpha.min() < 255
        return (*picture.notes, NO_TRANSPARENCY) if lost else picture.notes

    def _images(self, samples: list[Sample]) -> list[np.ndarray]:
        """Each sample's image: with its delta or, where its class is not protected, as it is."""
        chosen = [sample for sample in samples if self.protects[sample.label]]
        labels = self.artifact_labels[[sample.label for sample in chosen]]
        ids = [sample.sample_id for sample in chosen]
        protected = iter(self.noise.protect([sample.image for sample in chosen], labels, ids) if chosen else ())
        return [next(protected) if self.protects[sample.label] else sample.image for sample in samples]

    def _change(self, sample: Sample, image: np.ndarray, decoded: Picture) -> Change:
        """From the original to what was ``decoded`` of its protected ``image``."""
        if not self.handling.lossless:
            return _change(sample.image, image, decoded.rgb)
        if not (np.array_equal(decoded.rgb, image) and _same_alpha(sample.picture, decoded)):
            raise BudgetBroken(f"{sample.key}: its {self.handling.encoding} does not hold what was encoded: a bug")
        change = _change(sample.image, image, image)
        budget = self.config.budget
        size = change.largest
        if budget.norm == "l2":
            size = math.sqrt(change.applied) / 255
        elif budget.norm == "l0":
            size = float(np.count_nonzero((sample.image != image).any(axis=2)))
        if not budget.holds(size):
            raise BudgetBroken(f"{sample.key}: changed by {budget.size_text(size)}, the budget is {budget}")
        return change


def _change(original: np.ndarray, protected: np.ndarray, decoded: np.ndarray) -> Change:
    """All uint8 [H,W,3]: the image, what it was made into, and what its encoding made of that."""
    total = Change()
    for top in range(0, len(original), 256):  # of a large photo even the differences are large
        rows = slice(top, top + 256)
        before = protected[rows].astype(np.int32) - original[rows]
        after = before if decoded is protected else decoded[rows].astype(np.int32) - original[rows]
        largest = max(int(after.max()), -int(after.min())) / 255
        applied = int((before * before).sum(dtype=np.int64))
        survived = applied if after is before else int((before * after).sum(dtype=np.int64))
        written = applied if after is before else int((after * after).sum(dtype=np.int64))
        total += Change(largest, survived, applied, written)
    return total


def _same_alpha(before: Picture, after: Picture) -> bool:
    if before.alpha is None or after.alpha is None:
        return before.alpha is after.alpha
    return np.array_equal(before.alpha, after.alpha)
