"""One weight step, for surrogates and victims alike, and the learning rate's way down."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ue_ray.learning.collectives import data_parallel, world_size
from ue_ray.learning.compute import Compute

GRADIENT_NORM = 5.0  # the authors' clip


class WeightSteps:
    """SGD (momentum 0.9, weight decay 5e-4; Appendix B) on a network, data-parallel where there are several workers."""

    def __init__(self, network: nn.Module, compute: Compute, learning_rate: float) -> None:
        self.network = network
        self.compute = compute
        self.parallel = data_parallel(network, compute)
        self.forward = compute.forward(self.parallel)
        self.optimizer = torch.optim.SGD(
            network.parameters(), lr=learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=False
        )

    def step(self, images: Tensor, labels: Tensor, global_count: int) -> tuple[Tensor, Tensor]:
        """One step on this worker's part of a global batch of ``global_count`` rows.

        ``labels``: int64 [N], or their probabilities, float [N,K]. Returns this worker's (sum of losses, number of
        wrong predictions), on the device: nothing waits for it.
        """
        self.network.train()
        with self.compute.autocast():
            logits = self.forward(images).float()
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        self.optimizer.zero_grad(set_to_none=True)
        (loss * (world_size() / global_count)).backward()  # DDP takes the mean
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        wanted = labels if labels.dim() == 1 else labels.argmax(1)
        return loss.detach(), (logits.argmax(1) != wanted).sum()

    def momentum(self) -> dict[str, Tensor]:
        """The optimiser's state by the weights' names; empty before the first step."""
        named = {name: self.optimizer.state[weight] for name, weight in self.network.named_parameters()}
        return {name: state["momentum_buffer"] for name, state in named.items() if "momentum_buffer" in state}

    def load_momentum(self, momentum: dict[str, Tensor]) -> None:
        """Take up what ``momentum`` returned."""
        for name, weight in self.network.named_parameters():
            if name in momentum:
                self.optimizer.state[weight]["momentum_buffer"] = momentum[name].to(weight).clone()


def cosine_learning_rate(initial: float, epoch: float, epochs: int) -> float:
    """Cosine decay to zero over ``epochs``, without restart (Appendix B); ``epoch`` may be fractional."""
    return 0.5 * initial * float(1 + torch.cos(torch.tensor(torch.pi * epoch / epochs)))
