"""A method of one's own: a checkerboard a class. One file, and one line in METHODS."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ue_ray.errors import option
from ue_ray.noise.base import DataFreeMethod
from ue_ray.noise.crafting.batches import own_generator
from ue_ray.noise.methods import METHODS


class Checkerboard(DataFreeMethod):
    """Squares of +-epsilon in colours of the class's own."""

    @dataclass(frozen=True)
    class Options:
        cells: int = option("Squares a side. Default: 8.", 8)

    def draw(self, class_name: str, sample_id: str | None) -> Tensor:
        place = torch.arange(self.config.canvas) * self.options.cells // self.config.canvas
        board = (place[:, None] + place) % 2 * 2 - 1
        colour = own_generator(self.config.seed, class_name).choice([-1, 1], (3, 1, 1))
        return torch.from_numpy(colour) * board * self.config.budget.epsilon


METHODS["checkerboard"] = Checkerboard
