"""JPEG compression, which most photos go through when they are published (Liu, Zhao, Larson, 2023)."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ue_ray.evaluation.countermeasures.base import Countermeasure, map_images, whole


class Jpeg(Countermeasure):
    """``jpeg-50``: encodes at quality 50, with colours at half the resolution (4:2:0), and decodes.

    ``jpeg-50-after``: the same in every batch, after the crop and the mirroring. The blocks of 8 pixels then lie
    elsewhere in each image, so what survives one grid of blocks may not survive another.
    """

    forms = "jpeg-1 ... jpeg-100, jpeg-1-after ... jpeg-100-after"

    def __init__(self, parameter: str) -> None:
        self.after = parameter.endswith("-after")
        self.quality = whole(parameter.removesuffix("-after"), 1, 100)

    @property
    def purifies(self) -> bool:
        return not self.after

    @property
    def augments(self) -> bool:
        return self.after

    def purify(self, images: np.ndarray) -> np.ndarray:
        return images if self.after else map_images(self._round_trip, images)

    def augment(
        self, images: Tensor, targets: Tensor, network: nn.Module, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        if not self.after:
            return images, targets
        levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        decoded = torch.from_numpy(map_images(self._round_trip, levels)).to(images.device)
        return decoded.permute(0, 3, 1, 2).to(images.dtype).div_(255), targets

    def _round_trip(self, image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
        with Image.open(file) as decoded:
            return np.array(decoded)
