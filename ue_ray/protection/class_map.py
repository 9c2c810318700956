"""Maps the classes of a data set to those of an artifact that was crafted on another (Section 4.4, Table 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ue_ray.errors import UserError
from ue_ray.storage.filesystem import absolute, read_bytes
from ue_ray.storage.inputs.imagenet_labels import SYNSET

SHIPPED = Path(__file__).parents[1] / "experiments" / "class_maps"
ClassMap = Mapping[str, str]  # a class of the images -> the class whose noise they get


def read_class_map(uri: str) -> ClassMap:
    """Reads a JSON object such as ``{"cat": "Siamese cat"}``; one that comes with the package may be given by its name.

    Raises UserError for anything else.
    """
    uri = str(SHIPPED / f"{uri}.json") if (SHIPPED / f"{uri}.json").exists() else absolute(uri)
    try:
        class_map = json.loads(read_bytes(uri))
    except FileNotFoundError:
        shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.json")))
        raise UserError(f"--class-map {uri}: there is no such file, nor a class map of that name ({shipped})") from None
    except ValueError as error:
        raise UserError(f"--class-map {uri}: is no JSON: {error}") from None
    if not isinstance(class_map, dict) or not all(isinstance(name, str) for name in class_map.values()):
        raise UserError(f'--class-map {uri}: must be an object of names, such as {{"cat": "Siamese cat"}}')
    return class_map


NO_NOISE = -1


def labels_for_artifact(
    class_names: Sequence[str], known: Sequence[str], class_map: ClassMap, protects: Sequence[bool] | None = None
) -> np.ndarray:
    """Each class of a data set -> its index among the artifact's ``known`` classes: by ``class_map``, or by its name.

    A name ``n02690373 airliner`` in the map is the class of ImageNet that the others call so, n02690373 or airliner. A
    class that ``protects`` says is not protected needs none, and has NO_NOISE. Raises UserError for another that the
    artifact does not know, and for one of the map's that is not in the data.
    """
    class_map = {_called(name, class_names): _called(noise, known) for name, noise in class_map.items()}
    if foreign := [name for name in class_map if name not in class_names]:
        raise UserError(f"--class-map: the images have no class {foreign[0]!r}: they have {_some(class_names)}")
    index_of = {name: index for index, name in enumerate(known)}
    noise_of = [class_map.get(name, name) for name in class_names]
    needed = [name for name, needs in zip(noise_of, protects or [True] * len(noise_of), strict=True) if needs]
    if missing := [name for name in needed if name not in index_of]:
        raise UserError(
            f"the artifact has no noise for class {missing[0]!r} ({len(missing)} of {len(needed)} classes are "
            f"missing): it was crafted on {_some(known)}; --class-map says which class gets which noise"
        )
    return np.array([index_of.get(name, NO_NOISE) for name in noise_of], np.int64)


def _called(name: str, names: Sequence[str]) -> str:
    """What ``names`` call a class of ImageNet; any other name as it is."""
    synset, _, words = name.partition(" ")
    if name in names or not SYNSET.fullmatch(synset):
        return name
    return next((other for other in (synset, words) if other in names), name)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
