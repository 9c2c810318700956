"""What a craft run leaves behind: a card (JSON) and tensors (safetensors). Loading runs no code from the file."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ue_ray.errors import UserError
from ue_ray.noise.config import NoiseConfig
from ue_ray.noise.delta_file import DeltaFile, DeltaRows, write_deltas
from ue_ray.storage.filesystem import create_exclusive, join, list_names, read_bytes, write_bytes

FORMAT_VERSION = 4
CARD = "card.json"


@dataclass(frozen=True)
class NoiseArtifact:
    """``tensors``: sample-wise, the surrogate's weights or a table of deltas. ``deltas``: class-wise, one a class,
    fetched where they are asked for; None for what is not kept class by class.

    ``record``: how the crafting went: rounds, the error it reached, why it stopped, seconds, versions. ``digest``: the
    card's SHA-256, which through the card vouches for the tensors; empty before it is saved.
    """

    config: NoiseConfig
    tensors: dict[str, Tensor] = field(default_factory=dict)
    deltas: DeltaRows | None = None
    record: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    def save(self, uri: str) -> None:
        """Writes the tensors or deltas, then ``card.json``, under the folder ``uri``.

        A card means that the artifact is whole, so it comes last, and one that is there stays. The tensors' file is
        named by a hash of the config and the record: two runs that save here at once write two files, and the card
        names that of the run whose card was first. Saving the same artifact again changes nothing.
        """
        card: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "config": self.config.to_json(),
            "record": self.record,
        }
        recorded: dict[str, Any] = {"file": f"noise-{sha256(json.dumps(card).encode()).hexdigest()[:16]}.safetensors"}
        place = join(uri, recorded["file"])
        if self.deltas is not None:
            recorded["sha256"], recorded["chunks"] = write_deltas(place, self.deltas)
        else:
            tensors = save({name: value.contiguous() for name, value in self.tensors.items()})
            recorded["sha256"] = sha256(tensors).hexdigest()
            write_bytes(place, tensors)
        create_exclusive(join(uri, CARD), json.dumps(card | {"tensors": recorded}, indent=2).encode())

    def check_seen(self, names: Collection[str]) -> None:
        """Raises UserError where class-wise noise is asked for a class of which the crafting saw no image.

        Its delta was never stepped: it would change nothing.
        """
        lost = sorted(set(names) & set(self.record.get("unseen_classes", ())))
        if lost and self.config.granularity == "class-wise":
            raise UserError(f"the noise protects no class {lost[0]!r}: it was crafted on data without an image of it")

    @staticmethod
    def is_at(uri: str) -> bool:
        """Returns whether there is a whole artifact at ``uri``."""
        return CARD in list_names(uri)

    @staticmethod
    def load(uri: str) -> NoiseArtifact:
        """Reads the artifact at ``uri``. Raises UserError where there is none of this version, or a damaged one.

        Damage in class-wise deltas raises where they are asked for (``DeltaFile``).
        """
        return _load(uri, with_tensors=True)

    @staticmethod
    def load_card(uri: str) -> NoiseArtifact:
        """Reads the artifact without its tensors, which may be gigabytes."""
        return _load(uri, with_tensors=False)


def _load(uri: str, with_tensors: bool) -> NoiseArtifact:
    try:
        text = read_bytes(join(uri, CARD))
        card = json.loads(text)
        if card["format_version"] != FORMAT_VERSION:
            raise UserError(
                f"the noise artifact at {uri} has format {card['format_version']}: this is {FORMAT_VERSION}"
            )
        config = NoiseConfig.from_json(card["config"])
        tensors, deltas = _tensors(uri, card["tensors"]) if with_tensors else ({}, None)
        return NoiseArtifact(config, tensors, deltas, card["record"], sha256(text).hexdigest())
    except FileNotFoundError:
        raise UserError(f"no noise artifact at {uri}: it is a folder with {CARD} (an output's noise/)") from None
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"the noise artifact at {uri} cannot be read: {type(error).__name__}: {error}") from None


def _tensors(uri: str, recorded: dict[str, Any]) -> tuple[dict[str, Tensor], DeltaRows | None]:
    place = join(uri, PurePosixPath(recorded["file"]).name)  # never outside the folder
    if "chunks" in recorded:
        return {}, DeltaFile(place, recorded["chunks"])
    data = read_bytes(place)
    if sha256(data).hexdigest() != recorded["sha256"]:
        raise UserError(f"the noise artifact at {uri} is damaged: its tensors are not those its card names")
    return load(data), None
