"""Weight steps of surrogates and victims, and the decay of the learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from ue_ray.learning.collectives import data_parallel, world_size
from ue_ray.learning.compute import Compute

GRADIENT_NORM = 5.0  # the authors' clip


class WeightSteps:
    """SGD on a network, with momentum 0.9 and weight decay 5e-4 (Appendix B); data-parallel with several workers."""

    def __init__(
        self,
        network: nn.Module,
        compute: Compute,
        learning_rate: float,
        nesterov: bool = False,
        label_smoothing: float = 0.0,
        capture: bool = False,
    ) -> None:
        """``capture``: on a GPU, passes become CUDA graphs. All batches must then have one shape, and no gradient of
        the images is wanted."""
        self.network = network
        self.capture = capture and compute.device.type == "cuda" and world_size() == 1 and not compute.compile
        self.compute = compute
        self.label_smoothing = label_smoothing
        self.parallel = data_parallel(network)
        self.forward = compute.forward(self.parallel)
        self.optimizer = torch.optim.SGD(
            network.parameters(), lr=learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=nesterov
        )

    def step(self, images: Tensor, labels: Tensor, global_count: int) -> tuple[Tensor, Tensor]:
        """Takes one step on this worker's part of a global batch of ``global_count`` rows.

        ``images``: float32 [N,3,S,S] in [0, 1]; ``labels``: int64 [N], or their probabilities, float32 [N,K]. Returns
        the sum of this worker's losses and its number of wrong predictions, as tensors on the device.
        """
        self.network.train()
        if self.capture:
            self.forward, self.capture = self.compute.captured(self.network, images), False
        with self.compute.autocast():
            logits = self.forward(images).float()
        loss = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=self.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        (loss * (world_size() / global_count)).backward()  # DDP takes the mean
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        classes = labels if labels.dim() == 1 else labels.argmax(1)
        return loss.detach(), (logits.argmax(1) != classes).sum()

    def momentum(self) -> dict[str, Tensor]:
        """Returns the momentum of each weight, by its name; empty before the first step."""
        named = {name: self.optimizer.state[weight] for name, weight in self.network.named_parameters()}
        return {name: state["momentum_buffer"] for name, state in named.items() if "momentum_buffer" in state}

    def load_momentum(self, momentum: dict[str, Tensor]) -> None:
        """Goes on from what ``momentum`` has returned."""
        for name, weight in self.network.named_parameters():
            if name in momentum:
                self.optimizer.state[weight]["momentum_buffer"] = momentum[name].to(weight).clone()


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Asks ``network`` without changing it: its running statistics stand still, and weights get no gradient."""
    training = network.training
    network.eval().requires_grad_(False)
    try:
        yield
    finally:
        network.train(training).requires_grad_(True)


def cosine_learning_rate(initial: float, epoch: float, epochs: int) -> float:
    """Returns the learning rate at ``epoch``, which may be a fraction: cosine decay to zero (Appendix B)."""
    return 0.5 * initial * float(1 + torch.cos(torch.tensor(torch.pi * epoch / epochs)))
