"""A straightforward float32 Algorithm 1 (Huang et al., ICLR 2021), as one would write it from the paper.

The yardstick for the craft loop: nothing here is tuned, and nothing is meant to be slow. Contiguous float32, gradients
by ``loss.backward()``, the evaluation as a pass of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def algorithm_1(
    model: nn.Module, images: Tensor, labels: Tensor, class_wise: bool, epsilon: float, pgd_steps: int,
    weight_steps: int, rounds: int, batch_size: int, num_classes: int, stop_error: float = 0.0,
) -> tuple[Tensor, float, int]:  # fmt: skip
    """At most ``rounds`` rounds on ``images`` float32 [n,3,S,S], until the error is below ``stop_error``; returns
    (deltas, the last error, image-steps made).

    An image-step is one image through one weight step or one PGD step.
    """
    count = num_classes if class_wise else len(images)
    deltas = torch.zeros(count, *images.shape[1:])
    index = labels if class_wise else torch.arange(len(images))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    made = 0
    error = 1.0
    for _ in range(rounds):
        model.train()
        for _ in range(weight_steps):
            rows = torch.randperm(len(images))[:batch_size]
            optimizer.zero_grad()
            loss = functional.cross_entropy(model((images[rows] + deltas[index[rows]]).clamp(0, 1)), labels[rows])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            made += len(rows)
        model.eval()
        order = torch.randperm(len(images))
        for start in range(0, len(images), batch_size):
            rows = order[start : start + batch_size]
            delta = deltas[index[rows]]
            for _ in range(pgd_steps):
                seen = (images[rows] + delta).clamp(0, 1).requires_grad_()
                functional.cross_entropy(model(seen), labels[rows]).backward()
                assert seen.grad is not None
                delta = (delta - epsilon / 10 * seen.grad.sign()).clamp(-epsilon, epsilon)
                made += len(rows)
            if class_wise:
                for label in labels[rows].unique():
                    deltas[label] = delta[labels[rows] == label].mean(0).clamp(-epsilon, epsilon)
            else:
                deltas[rows] = delta
        wrong = 0
        with torch.no_grad():
            for start in range(0, len(images), batch_size):
                rows = slice(start, start + batch_size)
                logits = model((images[rows] + deltas[index[rows]]).clamp(0, 1))
                wrong += int((logits.argmax(1) != labels[rows]).sum())
        error = wrong / len(images)
        if error < stop_error:
            break
    return deltas, error, made
