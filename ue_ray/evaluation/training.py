"""A victim's training, from its first weights to its confusion matrix."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ue_ray.errors import UserError
from ue_ray.evaluation.countermeasures import Countermeasure
from ue_ray.evaluation.countermeasures.none import Nothing
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.collectives import own_part, rank, sum_over_workers, world_size
from ue_ray.learning.compute import Compute
from ue_ray.learning.models import build
from ue_ray.learning.steps import WeightSteps, cosine_learning_rate


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Crops as ``crop`` does, then mirrors each image with a chance of a half: the paper's augmentation."""
    flips = torch.rand(len(images), generator=generator) < 0.5
    cropped = crop(images, generator)
    cropped[flips] = cropped[flips].flip(-2)
    return cropped


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Crops each image at random, zero-padded by 4 pixels a 32 pixels of side. uint8 [N,H,W,3] -> the same."""
    count, height, width, _ = images.shape
    pad = max(1, round(height / 8))
    padded = functional.pad(images, (0, 0, pad, pad, pad, pad))
    tops = torch.randint(0, 2 * pad + 1, (count,), generator=generator)
    lefts = torch.randint(0, 2 * pad + 1, (count,), generator=generator)
    rows = (tops[:, None] + torch.arange(height))[:, :, None]
    columns = (lefts[:, None] + torch.arange(width))[:, None, :]
    return padded[torch.arange(count)[:, None, None], rows, columns]


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "crop-flip": crop_flip,
    "crop": crop,
    "none": lambda images, generator: images,
}


def check_augmentation(name: str) -> None:
    """Raises UserError, listing the choices, when there is no augmentation of that name."""
    if name not in AUGMENTATIONS:
        raise UserError(f"unknown augmentation {name!r}: choose one of {', '.join(AUGMENTATIONS)}")


@dataclass(frozen=True)
class Epoch:
    """What one epoch of a victim's training reached; accuracies in [0, 1].

    ``held_out_accuracy``: on the training images that a countermeasure keeps back; None where it keeps none.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float
    held_out_accuracy: float | None = None


@dataclass(frozen=True)
class Training:
    """The learning curve; the epoch whose network is taken, the last if nothing was held out to choose it by; that
    network's ``confusion`` on the test images, int64 [K,K]: rows are the true classes, columns the predicted; and the
    ``network`` after the last epoch."""

    curve: list[Epoch]
    taken: Epoch
    confusion: Tensor
    network: nn.Module


@dataclass(frozen=True)
class TrainingPlan:
    """How a victim is trained; the defaults are the paper's (Appendix B), its 60 epochs left to the caller."""

    model: str
    epochs: int
    seed: int = 0
    batch_size: int = 128
    learning_rate: float = 0.025
    augmentation: str = "crop-flip"


def train_classifier(
    train: LabelledImages,
    test: LabelledImages,
    num_classes: int,
    plan: TrainingPlan,
    compute: Compute,
    countermeasure: Countermeasure | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Training:
    """Train a network from scratch on ``train`` and measure it on ``test`` after each epoch.

    ``train`` is purified already; what else ``countermeasure`` does is done here. ``on_epoch`` is told of each as it
    ends.

    Several workers call it together, each with all of ``train`` and ``test``, and get the same back but the seconds.
    Each takes its part of every global batch of ``plan.batch_size`` rows; batch normalisation is over all parts
    (``data_parallel``), an adversary or a mixture sees its own. The seed gives them one order of the rows, and each its
    own chance for augmentations, countermeasures and dropout: seed and number of workers decide what comes of it.
    """
    check_augmentation(plan.augmentation)
    measure = countermeasure or Nothing("")
    held_out = None
    if measure.held_out:
        train, held_out = _split(train, measure.held_out, plan.seed)
    torch.manual_seed(plan.seed)
    network = compute.place(build(plan.model, num_classes, train.images.shape[1]))
    steps = WeightSteps(network, compute, plan.learning_rate)
    generator = chance = torch.Generator().manual_seed(plan.seed)
    if world_size() > 1:
        seeds = torch.randint(1 << 62, (world_size(),), generator=torch.Generator().manual_seed(plan.seed))
        chance = torch.Generator().manual_seed(int(seeds[rank()]))
        torch.manual_seed(int(seeds[rank()]))  # dropout draws from the global generator
    augment = AUGMENTATIONS[plan.augmentation]
    pixels, labels = tensors(train)
    batches = max(1, len(train) // plan.batch_size)  # the last, smaller batch is spread over the others by reshuffling
    curve: list[Epoch] = []
    taken, confusion = None, torch.zeros(0, 0)
    for epoch in range(plan.epochs):
        started = time.perf_counter()
        order = torch.randperm(len(train), generator=generator)
        loss = torch.zeros((), device=compute.device)
        wrong = torch.zeros((), dtype=torch.int64, device=compute.device)
        seen = 0
        for batch in range(batches):
            rows = order[batch * plan.batch_size : (batch + 1) * plan.batch_size]
            rate = cosine_learning_rate(plan.learning_rate, epoch + batch / batches, plan.epochs)
            steps.optimizer.param_groups[0]["lr"] = rate
            own = own_part(rows)
            images = compute.images(augment(pixels[own], chance))
            targets = labels[own].to(compute.device)
            if measure.augments:
                targets = functional.one_hot(targets, num_classes).to(torch.float32)
                images, targets = measure.augment(images, targets, network, chance)
            batch_loss, batch_wrong = steps.step(images, targets, len(rows))
            loss += batch_loss
            wrong += batch_wrong
            seen += len(rows)
        loss, wrong = sum_over_workers(loss), sum_over_workers(wrong)
        found = confusion_on(network, test, num_classes, compute)
        known = accuracy(confusion_on(network, held_out, num_classes, compute)) if held_out is not None else None
        seconds = time.perf_counter() - started
        curve.append(Epoch(epoch + 1, float(loss) / seen, 1 - int(wrong) / seen, accuracy(found), seconds, known))
        on_epoch(curve[-1])
        if taken is None or (known or 0.0) >= (taken.held_out_accuracy or 0.0):
            taken, confusion = curve[-1], found
    assert taken is not None
    return Training(curve, taken, confusion, network)


def tensors(data: LabelledImages) -> tuple[Tensor, Tensor]:
    """Returns images uint8 [n,S,S,3] and labels int64 [n], copied: arrays from an object store are read-only."""
    return torch.from_numpy(data.images.copy()), torch.from_numpy(data.labels.copy())


def _split(data: LabelledImages, share: float, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """Returns (the rest, a ``share`` drawn by ``seed``)."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed)).numpy()
    cut = round(share * len(data))
    return data.take(order[cut:]), data.take(order[:cut])


@torch.inference_mode()
def confusion_on(
    network: nn.Module, data: LabelledImages, num_classes: int, compute: Compute, batch_size: int = 500
) -> Tensor:
    """How often each class is taken for each, int64 [K,K] on the CPU: rows are the true classes.

    Several workers call it together, share the images out and each get the whole.
    """
    network.eval()
    counts = torch.zeros(num_classes**2, dtype=torch.int64, device=compute.device)
    pixels, classes = tensors(data)
    for start in range(rank() * batch_size, len(data), world_size() * batch_size):
        with compute.autocast():
            logits = network(compute.images(pixels[start : start + batch_size]))
        labels = classes[start : start + batch_size].to(compute.device)
        counts += torch.bincount(labels * num_classes + logits.argmax(1), minlength=num_classes**2)
    return sum_over_workers(counts).view(num_classes, num_classes).cpu()


def accuracy(confusion: Tensor) -> float:
    """The share that is taken for what it is, in [0, 1]."""
    return int(confusion.trace()) / int(confusion.sum())
