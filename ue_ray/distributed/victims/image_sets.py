"""The images that victims train and are tested on, in Ray's object store."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import ray

from ue_ray.distributed.survey import Survey
from ue_ray.distributed.victims.loading import load
from ue_ray.evaluation.before_after import likeness
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.victim import purified, purified_test
from ue_ray.images.labelled import LabelledImages
from ue_ray.images.quality import Likeness

Images = Any  # a reference to LabelledImages


class ImageSets:
    """References to sets of images; tasks decode each set, or make it from others, when it is first asked for.

    ``surveys``: the listed inputs, by name; ``side``: the side, in pixels, at which victims see the images. All sets
    have the classes of ``clean``, in its order; ``other test`` has those of ``other``.
    """

    def __init__(self, surveys: Mapping[str, Survey], side: int) -> None:
        self._surveys, self._side = surveys, side
        self._made: dict[Hashable, Images] = {}

    def loaded(self, name: str) -> Images:
        """Returns all images of the input ``name``, or the set that ``made`` has made by that name."""
        if name in self._made:
            return self._made[name]
        survey = self._surveys[name]
        names = self._surveys["other" if name in ("other", "other test") else "clean"].summary.class_names
        return self.made(name, load, survey, self._side, names)

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """Returns the digest of each set that ``loaded`` gives, by its name: what a kept result was made of."""
        names = list(names)
        return dict(
            zip(
                names,
                ray.get(
                    [_digest.options(name=f"images: digest of {name}").remote(self.loaded(name)) for name in names]
                ),
                strict=True,
            )
        )

    def shared(self, name: str, other: str) -> int:
        """Returns how many images of the set ``name`` the set ``other`` has too, by their pixels."""
        return int(ray.get(_shared.options(name="images: in both sets").remote(self.loaded(name), self.loaded(other))))

    def likeness(self, name: str, other: str) -> Likeness:
        """Returns how alike the images are that both sets have."""
        task = _likeness.options(name=f"images: likeness of {other}")
        found: Likeness = ray.get(task.remote(self.loaded(name), self.loaded(other)))
        return found

    def made(self, key: Hashable, make: Callable[..., LabelledImages], *arguments: Any) -> Images:
        """Returns what a task that calls ``make`` gives; of the same ``key`` there is one set."""
        if key not in self._made:
            self._made[key] = ray.remote(make).options(name=f"images: {make.__name__.strip('_')}").remote(*arguments)
        return self._made[key]

    def purified(self, images: Images, countermeasure: str, for_test: bool = False) -> Images:
        """Returns ``images`` as a taker who uses the countermeasure trains on them or, ``for_test``, is tested on."""
        measure = parse(countermeasure)
        if not measure.purifies or (for_test and not measure.on_test):
            return images
        make = purified_test if for_test else purified
        return self.made((images, countermeasure, for_test), make, images, measure)


@ray.remote
def _likeness(before: LabelledImages, after: LabelledImages) -> Likeness:
    return likeness(before, after)


@ray.remote
def _shared(images: LabelledImages, others: LabelledImages) -> int:
    known = set(others.digests())
    return sum(digest in known for digest in images.digests())


@ray.remote
def _digest(images: LabelledImages) -> str:
    return images.digest()
