"""Gratings: each class has stripes or a checkerboard in colours of its own. Nothing is trained."""

from __future__ import annotations

from functools import cached_property
from itertools import product

import numpy as np
import torch
from torch import Tensor

from ue_ray.noise.base import DataFreeMethod
from ue_ray.noise.crafting.batches import own_generator
from ue_ray.noise.crafting.options import FEWEST_CELLS, GratingsOptions

WAVES = {"columns": ((1, -1), (1, -1)), "rows": ((1, 1), (-1, -1)), "checkerboard": ((1, -1), (-1, 1))}
SIGNS = ((1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1))  # a shift by a cell turns all three round: four, not eight


class Gratings(DataFreeMethod):
    """Each channel of a class is +-epsilon in vertical stripes, horizontal ones or a checkerboard, one cell wide.

    Networks learn first what stands out. Natural images vary least from one pixel to the next, and least of all in
    colour there: a grating stands out from any content at once, and a clean image, which has none, tells the network
    nothing. Whatever the crop or the mirror, a network can tell which waves there are in which channel, and whether
    two channels with the same wave go up and down together: 54 codes. The classes get codes as far apart as there are.

    A class alone, one of more than 54, and any class of coarse gratings (``cells``) draws its code by its own name,
    another one in each quarter of the image: the same whoever else is protected. Coarse gratings outlive JPEG and
    resizing; fine ones do not. In a coarse one red goes up where green goes down: of all that is as large as this,
    photos vary least in red against green. Where both go up together (``tint``), grayscale leaves most of it. Measured
    in docs/log.md.
    """

    Options = GratingsOptions

    @cached_property
    def cells(self) -> int:
        return min(self.options.cells or self.config.canvas, self.config.canvas)

    @cached_property
    def codes(self) -> dict[str, np.ndarray]:
        """The tiles of each class, int64 [b,b,3,2,2] of +-1: one for each of its b x b blocks."""
        names, generator = self.config.class_names, np.random.default_rng(self.config.seed)
        tiles, blocks = _coarse(-1 if self.options.tint == "opponent" else 1), 2
        if self.options.cells is None or self.cells < FEWEST_CELLS:
            tiles, seen = _drawings() if self.cells < FEWEST_CELLS else _gratings()
            if 1 < len(names) <= len(tiles):
                chosen = generator.permutation(_farthest(seen, len(names), generator))
                return {name: tiles[code][None, None] for name, code in zip(names, chosen, strict=True)}
            blocks = 1 if self.cells < FEWEST_CELLS else 2
        draws = [own_generator(self.config.seed, name).integers(len(tiles), size=(blocks, blocks)) for name in names]
        return {name: tiles[draw] for name, draw in zip(names, draws, strict=True)}

    def draw(self, class_name: str, sample_id: str | None) -> Tensor:
        """A class's gratings. Sample-wise, a wave may start with its crest or its trough, drawn by the sample for each
        of 16 parts of the image: the class is told as well, and the mean of its samples' deltas tells nothing. Drawings
        have no wave to shift: one of the 16 parts, drawn by the sample, has its colours turned round. With more of them
        digits are learnt (docs/log.md); so the mean of a class's deltas shows its drawing."""
        side, code = self.config.canvas, (self.codes[class_name] * self.config.budget.epsilon).astype(np.float32)
        # All is drawn once for each stretch of pixels along a side that is in one cell, one block and one part.
        stretches = np.stack([np.arange(side) * count // side for count in (self.cells, len(code), 4)])
        (cell, block, part), lengths = np.unique(stretches, axis=1, return_counts=True)
        count = len(lengths)
        shift = np.zeros((2, count, count), np.int64)
        turned = None
        if sample_id is not None:
            own = own_generator(self.config.seed, sample_id)
            if self.cells < FEWEST_CELLS:
                turned = np.where(np.arange(16).reshape(4, 4) == own.integers(16), -1, 1)[part[:, None], part]
            else:
                shift = own.integers(0, 2, (2, 4, 4))[:, part[:, None], part]
        rows, columns = (cell[:, None] + shift[0]) % 2, (cell + shift[1]) % 2
        delta = code[block[:, None], block, :, rows, columns]  # [stretches,stretches,3]
        if turned is not None:
            delta *= turned[..., None]
        drawn = np.moveaxis(delta, 2, 0).repeat(lengths, 1).repeat(lengths, 2)
        return torch.from_numpy(drawn)


def _gratings() -> tuple[np.ndarray, np.ndarray]:
    """Returns the 54 tiles, int64 [N,3,2,2], and what a network sees of each, float64 [N,F]: the product of each two
    channels, wave by wave."""
    tiles = np.array(list(product(WAVES.values(), repeat=3)))  # [27,3,2,2]
    tiles = (tiles[:, None] * np.array(SIGNS)[:, :, None, None]).reshape(-1, 3, 2, 2)
    amplitudes = np.einsum("ncij,kij->nkc", tiles, np.array(list(WAVES.values()))) / 4
    seen = np.einsum("nkc,nkd->nkcd", amplitudes, amplitudes).reshape(len(tiles), -1)
    seen, first = np.unique(seen, axis=0, return_index=True)
    return tiles[first], seen


def _coarse(green: int) -> np.ndarray:
    """Returns 36 tiles, int64 [N,3,2,2]: a wave for red and, times ``green``, for green; one for blue; both signs."""
    waves = [sign * np.array(wave) for wave in WAVES.values() for sign in (1, -1)]
    return np.array([(wave, green * wave, blue) for wave, blue in product(waves, repeat=2)])


def _drawings() -> tuple[np.ndarray, np.ndarray]:
    """Returns all 4,096 tiles and, for each, its signs: with few cells, each is seen in its place."""
    tiles = np.array(list(product((-1, 1), repeat=12)))
    return tiles.reshape(-1, 3, 2, 2), tiles.astype(np.float64)


def _farthest(points: np.ndarray, count: int, generator: np.random.Generator) -> list[int]:
    """Returns ``count`` rows of ``points``, float64 [N,F], each as far from those before it as any is."""
    chosen = [int(generator.integers(len(points)))]
    distance = ((points - points[chosen[0]]) ** 2).sum(1)
    while len(chosen) < count:
        chosen.append(int(generator.choice(np.flatnonzero(distance > distance.max() - 1e-9))))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
    return chosen
