"""Orthogonal projection: takes away what a linear classifier tells the classes by (Sandoval-Segura et al., 2023)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ue_ray.evaluation.countermeasures.base import Countermeasure

EPOCHS = 20
LEARNING_RATE = 0.1
BATCH = 1024  # images, at most
STEPS = 49  # an epoch, at least: what 1,024 of 50,000 images a step come to


class OrthogonalProjection(Countermeasure):
    """``orthogonal-projection``: a linear model without bias learns the labels from raw pixels in [0, 1] (SGD at 0.1, a
    tenth of it after 10 epochs and again after 15, 20 in all); its K weight vectors are projected out of the images.

    The original trains on what is left as it is; here it is rounded and clipped to 8 bits, as images are.
    """

    forms = "orthogonal-projection"

    def purify_all(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        weights = linear_weights(images, labels)
        basis, _ = torch.linalg.qr(weights.T.double())  # [D,K]
        basis = basis.float()
        projected = np.empty_like(images)
        for start in range(0, len(images), BATCH):
            pixels = _flat(images[start : start + BATCH])
            left = pixels - (pixels @ basis) @ basis.T
            levels = (left * 255).round_().clamp_(0, 255).to(torch.uint8)
            projected[start : start + BATCH] = levels.view(-1, *images.shape[1:]).numpy()
        return projected


def linear_weights(images: np.ndarray, labels: np.ndarray) -> Tensor:
    """Returns the weights that tell the classes apart, float32 [K,D]; K classes, D values an image.

    ``images``: uint8 [n,S,S,3]; ``labels``: int64 [n]. The first weights and the order of the images are the same every
    time. The original does not shuffle, and takes 1,024 images a step of CIFAR's 50,000. Here images may be sorted by
    class, so they are shuffled; of fewer images a step takes fewer, so that there are as many steps.
    """
    size = max(1, min(BATCH, len(images) // STEPS))
    generator = torch.Generator().manual_seed(0)
    classes, values = int(labels.max()) + 1, images[0].size
    weights = (2 * torch.rand(classes, values, generator=generator) - 1) / values**0.5  # as of nn.Linear
    targets = torch.from_numpy(labels.astype(np.int64))
    for epoch in range(EPOCHS):
        rate = LEARNING_RATE * 0.1 ** ((epoch >= EPOCHS // 2) + (epoch >= EPOCHS * 3 // 4))
        for rows in torch.randperm(len(images), generator=generator).split(size):
            pixels = _flat(images[rows.numpy()])
            expected = functional.one_hot(targets[rows], classes).float()
            error = (pixels @ weights.T).softmax(1) - expected  # the gradient of the cross-entropy by the logits
            weights -= rate / len(rows) * error.T @ pixels
    return weights


def _flat(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.reshape(len(images), -1).astype(np.float32)).div_(255)
