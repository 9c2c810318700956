"""A torchvision transform that adds a crafted noise: for somebody's own datasets and training scripts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ue_ray.errors import UserError
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.in_memory import Protector
from ue_ray.storage.filesystem import absolute


class Protect(nn.Module):
    """Adds each image's delta: (image, label) -> (image with noise, label), the image of the kind that it was.

    ``artifact``: a noise artifact, or its URI. Images are PIL images, tensors [3,H,W] (uint8, or float in [0, 1]) or
    uint8 arrays [H,W,3]; labels are indices into the classes that the noise was crafted for, or their names. It works
    with ``torchvision.transforms.v2.Compose``, and may be pickled for the workers of a DataLoader.

    Raises UserError for noise that is each sample's own: a transform does not know the samples' ids.

    Example:
        >>> import numpy as np, torch, ue_ray
        >>> from ue_ray.transforms import Protect
        >>> artifact = ue_ray.craft(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], method="random")
        >>> image, label = Protect(artifact)(torch.full((3, 8, 8), 128, dtype=torch.uint8), 1)
        >>> image.shape, label, int((image.int() - 128).abs().max())
        (torch.Size([3, 8, 8]), 1, 8)
    """

    def __init__(self, artifact: NoiseArtifact | str) -> None:
        super().__init__()
        self.artifact = NoiseArtifact.load(absolute(artifact)) if isinstance(artifact, str) else artifact
        self.protector = Protector(self.artifact, device="cpu")
        if self.protector.needs_ids:
            raise UserError("this noise is each sample's own: a transform does not know the samples' ids")

    def forward(self, image: Any, label: Any) -> tuple[Any, Any]:
        number = label.item() if isinstance(label, Tensor) else label
        with torch.no_grad():
            (protected,) = self.protector.protect([image], [number])
        return protected, label

    def __reduce__(self) -> tuple[type[Protect], tuple[NoiseArtifact]]:
        return Protect, (self.artifact,)
