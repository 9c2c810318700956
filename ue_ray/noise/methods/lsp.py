"""LSP: noise that a linear classifier separates (Yu et al., "Availability Attacks Create Shortcuts", KDD 2022)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ue_ray.noise.base import DataFreeMethod
from ue_ray.noise.crafting.batches import own_generator

CELLS = 4  # a side, so 8x8 pixels of a 32x32 image each, as in the authors' code
APART = 10.0  # of a code's entries from zero; beside a spread of about 4
FEATURES = 3 * CELLS * CELLS


class LSP(DataFreeMethod):
    """Each class has 4x4 cells of colour, a corner of a cube; each sample of it lies around that corner.

    The authors draw with scikit-learn's ``make_classification`` (48 features, all informative, ``class_sep`` 10):
    corners +-10 of the cube, and around each a Gaussian whose axes are the class's own. Here it is the same, except
    that a class draws corner and axes by its name: they are the same whoever else is protected. Class-wise is the
    corner alone.

    The authors scale each delta to the L2 norm sqrt(3072) x 6/255. Under an L2 budget it is scaled to epsilon. Under
    L-inf it is scaled to a root mean square of epsilon, and what is above epsilon is cut: signs stay, and signs
    separate the classes.
    """

    def draw(self, class_name: str, sample_id: str | None) -> Tensor:
        seed, budget, side = self.config.seed, self.config.budget, self.config.canvas
        of_class = own_generator(seed, class_name)
        code = APART * of_class.choice([-1.0, 1.0], FEATURES)
        if sample_id is not None:
            axes = of_class.uniform(-1, 1, (FEATURES, FEATURES))
            code += own_generator(seed, sample_id).standard_normal(FEATURES) @ axes
        cell = np.arange(side) * CELLS // side
        delta = code.reshape(3, CELLS, CELLS)[:, cell[:, None], cell]
        size = np.linalg.norm(delta) if budget.norm == "l2" else np.sqrt(np.square(delta).mean())
        return torch.from_numpy((delta * (budget.epsilon / size)).astype(np.float32))
