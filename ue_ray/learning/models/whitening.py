"""A fixed first layer that whitens patches of pixels: what varies little in images becomes as large as the rest.

Fast CIFAR-10 recipes begin so (Jordan, "94 % on CIFAR-10 in 3.29 seconds", 2024). A network behind it learns clean
images faster, and sees a noise of small variance from its first step on.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ue_ray.learning.models import build

PREFIX = "whitened-"  # of a network's name
FLOOR = 5e-4  # added to each variance, of pixels in [0, 1]: a direction without any is not lifted without end
MOST_IMAGES = 1000


def victim_network(name: str, num_classes: int, images: np.ndarray) -> nn.Module:
    """Returns the new network ``name``; ``whitened-NAME`` is NAME behind a layer that whitens ``images``.

    ``images``: uint8 [N,S,S,3]. The network is as from ``models.build``, which says what UserError it raises.
    """
    plain = build(name.removeprefix(PREFIX), num_classes, images.shape[1])
    return plain if not name.startswith(PREFIX) else Whitened(plain.get_submodule("network"), images)


class Whitened(nn.Module):
    """``network`` behind the eigenvectors of 3x3 patches, each divided by its spread, with both signs and a ReLU.

    ``network``: takes three channels; its first convolution is replaced by one that takes the layer's 54.
    """

    def __init__(self, network: nn.Module, images: np.ndarray) -> None:
        super().__init__()
        self.filters: Tensor
        self.register_buffer("filters", filters(images))
        name, first = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
        wider = nn.Conv2d(
            len(self.filters) * 2, first.out_channels, first.kernel_size, first.stride, first.padding,  # type: ignore[arg-type]
            bias=first.bias is not None,
        )  # fmt: skip
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, wider)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        white = functional.conv2d(images - 0.5, self.filters, padding=1)
        return self.network(functional.relu(torch.cat([white, -white], 1)))


def filters(images: np.ndarray) -> Tensor:
    """Returns the 27 whitening filters of ``images``, uint8 [N,S,S,3]: float32 [27,3,3,3].

    Of ``MOST_IMAGES`` images, from all over the set: folders are listed class by class.
    """
    chosen = images[:: -(-len(images) // MOST_IMAGES)]
    pixels = torch.from_numpy(chosen.astype(np.float32)).permute(0, 3, 1, 2) / 255 - 0.5
    stride = max(1, pixels.shape[-1] // 12)  # of large images as many patches as of small ones
    patches = functional.unfold(pixels, 3, stride=stride).permute(0, 2, 1).reshape(-1, 27).double()
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    return (directions / (variances + FLOOR).sqrt()).T.reshape(27, 3, 3, 3).float()
