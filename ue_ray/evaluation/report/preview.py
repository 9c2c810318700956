"""The page that shows some images of an output before and after protection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ue_ray.evaluation.gallery import GalleryItem
from ue_ray.evaluation.measures import levels
from ue_ray.evaluation.report.page import render
from ue_ray.evaluation.report.pictures import gallery_rows

MAGNIFIED = 10
MOST_CHARACTERS = 8_000_000
CROPS = (256, 192, 128, 64)  # the page shows the most of each image with which it has at most so many characters


@dataclass(frozen=True)
class Preview:
    """What the page shows: images ``spread`` over the classes and the ``worst``, which changed most; of how many
    (``protected``); ``origin``: how they were made, values by name; ``notes``, a line each."""

    spread: Sequence[GalleryItem]
    worst: Sequence[GalleryItem]
    protected: int
    origin: Mapping[str, Iterable[str]]
    notes: Sequence[str] = ()

    def page(self) -> str:
        """A document that refers to nothing outside itself."""
        for crop in CROPS:
            page = self._page(crop)
            if len(page) <= MOST_CHARACTERS:
                break
        return page

    def _page(self, crop: int) -> str:
        bound = 0.5 / MAGNIFIED
        worst = [item.cropped(crop // 2) for item in self.worst]
        return render(
            "preview.html.jinja",
            kind="Preview of a protection",
            heading=f"{len(self.spread)} of {self.protected:,} protected images, before and after",
            notes=self.notes,
            spread=gallery_rows([item.cropped(crop) for item in self.spread], bound),
            worst=gallery_rows(worst, bound) if len(self.spread) < self.protected else None,
            bound=levels(bound),
            crop=crop,
            protected=f"{self.protected:,}",
            origin=self.origin,
        )
