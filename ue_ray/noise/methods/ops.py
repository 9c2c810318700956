"""OPS: one pixel of each image has the colour of its class (Wu et al., "One-Pixel Shortcut", ICLR 2023)."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ue_ray.learning.collectives import rank, sum_over_workers
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.base import NoiseMethod
from ue_ray.noise.budget import Budget
from ue_ray.noise.changed import ChangedNoise
from ue_ray.noise.crafted import Noise
from ue_ray.noise.crafting.batches import Windows, own_generator
from ue_ray.noise.crafting.checkpoint import Checkpoints
from ue_ray.noise.crafting.class_deltas import ClassDeltas
from ue_ray.noise.crafting.options import OPSOptions
from ue_ray.noise.crafting.rounds import Report

CHUNK = 64  # images that are counted together
COLOURS = np.array(list(product((0, 255), repeat=3)))  # the corners of the cube of colours, [8,3]
EVERY_IMAGE = "every image counted"


class OPS(NoiseMethod):
    """Each class has a pixel and a colour, black, white or one of six between: those that change its images most alike.

    Of all pixels and colours v a class takes those with the largest mean(|v - x|) / std(|v - x|) over the channels of
    its images x, and none that a class before has taken. Of equals, as in the black border of digits, it draws one by
    its name; so the seed counts there alone, and elsewhere the images decide.

    One pass over the images counts the sums that all this follows from, as whole numbers: the order of the images and
    the number of workers change nothing. A run that is interrupted begins its pass again. At an image's own size, the
    pixel is the one at the same place in it.
    """

    granularities = ("class-wise",)
    budget = Budget(1, "l0")
    Options = OPSOptions

    def craft(
        self,
        windows: Windows | None = None,
        deltas: ClassDeltas | None = None,
        report: Report = lambda entry: None,
        checkpoints: Checkpoints | None = None,
    ) -> NoiseArtifact | None:
        assert windows is not None
        started = time.perf_counter()
        places, colours = self._chosen(*self._sums(windows))
        tensors = {"places": torch.from_numpy(places), "colours": torch.from_numpy(colours)}
        seconds = time.perf_counter() - started
        record: dict[str, Any] = {
            "goal": EVERY_IMAGE,
            "stopped_by": EVERY_IMAGE,
            "error": None,
            "rounds": [],
            "seconds": seconds,
        }
        return NoiseArtifact(self.config, tensors, record=record) if rank() == 0 else None

    def _sums(self, windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns, over all images of each class, how many there are, int64 [K], and the sums of their levels and of
        the squares, int64 [K,S,S,3]."""
        classes, side = len(self.config.class_names), self.config.image_size
        counts, *sums = (
            torch.zeros(classes, *shape, dtype=torch.int64, device=self.compute.device)
            for shape in ((), (side, side, 3), (side, side, 3))
        )
        seen = np.empty(0, np.int64)
        for window in windows:
            rows = torch.from_numpy(np.flatnonzero(np.isin(window.positions, seen, invert=True)))
            for chunk in rows.to(self.compute.device).split(CHUNK) if len(rows) else ():
                _add(counts, sums, window.images[chunk], window.labels[chunk])
            before, seen = len(seen), np.union1d(seen, window.everywhere)
            if window.whole or len(seen) == before:  # the stream has begun again
                break
        images, levels, squares = (sum_over_workers(values).cpu().numpy() for values in (counts, *sums))
        return images, levels, squares

    def _chosen(self, counts: np.ndarray, levels: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns each class's place, (row, column) as the images were seen, int64 [K,2], and its colour, uint8 [K,3].

        Of a class without an image both are zero.
        """
        side = self.config.image_size
        chosen = np.zeros(len(counts), np.int64)
        free = np.ones((side, side, len(COLOURS)), bool)
        for label in np.flatnonzero(counts):
            scores = np.where(free, stability(counts[label], levels[label], squares[label]), -1)
            equals = np.flatnonzero(scores == scores.max())
            chosen[label] = own_generator(self.config.seed, self.config.class_names[label]).choice(equals)
            free.flat[chosen[label]] = False
        row, column, colour = np.unravel_index(chosen, free.shape)
        return np.stack([row, column], 1), COLOURS[colour].astype(np.uint8)

    def noise(self, artifact: NoiseArtifact) -> Noise:
        return OnePixel(self, artifact.tensors)


class OnePixel(ChangedNoise):
    """Gives one pixel of each image the colour of its class."""

    def __init__(self, method: OPS, tensors: dict[str, Tensor]) -> None:
        super().__init__(method.config, method.compute)
        self.places, self.colours = tensors["places"].numpy(), tensors["colours"].numpy()

    def change(self, image: np.ndarray, label: int) -> np.ndarray:
        row, column = (2 * self.places[label] + 1) * image.shape[:2] // (2 * self.config.image_size)
        changed = image.copy()
        changed[row, column] = self.colours[label]
        return changed


def stability(count: int, levels: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Returns mean(|v - x|) / std(|v - x|) over ``count`` images x and their channels, for each pixel and colour v:
    float64 [S,S,8].

    ``levels``, ``squares``: the sums of x and of its squares, int64 [S,S,3]. Where v changes no image it is 0, where it
    changes all channels of all images alike infinite.
    """
    dark = (COLOURS == 0)[:, None, None]  # |0 - x| is x, |255 - x| is 255 - x
    first = np.where(dark, levels, 255 * count - levels).sum(-1)
    second = np.where(dark, squares, 255**2 * count - 510 * levels + squares).sum(-1)
    total = 3 * count
    spread = np.sqrt(total * second - first**2)  # whole numbers: zero where it is zero
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.moveaxis(np.where(first == 0, 0.0, first / spread), 0, -1)


def _add(counts: Tensor, sums: list[Tensor], images: Tensor, labels: Tensor) -> None:
    """Adds ``images``, uint8 [n,S,S,3], of the classes ``labels``, int64 [n], to what is counted."""
    levels = images.to(torch.int64)
    counts += torch.bincount(labels, minlength=len(counts))
    sums[0].index_add_(0, labels, levels)
    sums[1].index_add_(0, labels, levels.square())
