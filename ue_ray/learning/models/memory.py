"""How much of a GPU's memory a training takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ue_ray.learning.models import build

PROBED = 2  # images, of which nothing but the shapes is computed


def training_bytes(model: str, side: int, batch_size: int) -> int:
    """Returns about how many bytes a training of the network takes, in float32; in bfloat16 it is about half of that.

    ``model``: of ``MODELS``; ``side``: of the images, in pixels. Counted are what each layer puts out, kept for the
    backward pass, and the weights with gradient and momentum. The framework's own is not.
    """
    outputs = 0

    def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal outputs
        outputs += output.numel()

    with torch.device("meta"):
        network = build(model, 2, side)
        for layer in network.modules():
            if not list(layer.children()):
                layer.register_forward_hook(count)
        network(torch.empty(PROBED, 3, side, side))
    weights = sum(weight.numel() for weight in network.parameters())
    return 4 * (outputs * batch_size // PROBED + 3 * weights)
