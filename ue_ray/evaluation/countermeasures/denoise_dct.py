"""Denoising by the cosine transform: keeps what a few waves say of each patch (Yu and Sapiro, IPOL 2011)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ue_ray.evaluation.countermeasures.base import Countermeasure, map_images

SIDE = 8  # of a patch, in pixels
THRESHOLD = 3 * 25  # 8-bit levels: three standard deviations of the noise that denoisers are usually compared at


class DenoiseDct(Countermeasure):
    """``denoise-dct``: in every patch of 8x8 pixels and its three colours, a wave that is weaker than three times 25
    levels is taken away; the patches are averaged where they overlap.

    A stand-in for the purifiers that use a diffusion model (DiffPure, AVATAR), which need a network trained on other
    images. Nothing is learnt here: that photos need few waves is all it knows. It does not paint anew, so what is
    smooth or strong stays.
    """

    forms = "denoise-dct"

    def purify(self, images: np.ndarray) -> np.ndarray:
        return map_images(denoised, images)  # one by one: a convolution of many may round differently


def denoised(image: np.ndarray) -> np.ndarray:
    """Returns ``image``, uint8 [H,W,3] with sides of at least 8 pixels, without its weak waves."""
    height, width, _ = image.shape
    waves = torch.einsum("ui,vj->uvij", _cosines(SIDE), _cosines(SIDE)).reshape(-1, 1, SIDE, SIDE)
    colours = _cosines(3)
    pixels = torch.einsum("dc,hwc->dhw", colours, torch.from_numpy(image.astype(np.float32)))
    border = SIDE - 1
    padded = functional.pad(pixels.unsqueeze(1), (border,) * 4, "reflect")
    strengths = functional.conv2d(padded, waves)  # [3,64,...]: of each wave in each patch
    kept = strengths.abs() >= THRESHOLD
    kept[:, 0] = True  # the mean
    summed = functional.conv_transpose2d(strengths * kept, waves)[:, 0]
    averaged = summed[:, border : border + height, border : border + width] / SIDE**2
    levels = torch.einsum("dc,dhw->hwc", colours, averaged).round().clamp(0, 255).to(torch.uint8)
    changed: np.ndarray = levels.numpy()
    return changed


def _cosines(count: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II): float32 [count,count], a wave a row."""
    place = torch.arange(count)
    rows = (math.pi * (2 * place + 1) * place.view(-1, 1) / (2 * count)).cos() * math.sqrt(2 / count)
    rows[0] /= math.sqrt(2)
    return rows
