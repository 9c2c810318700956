"""Trains a victim, and measures it after each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ue_ray.errors import choose
from ue_ray.evaluation.countermeasures import Countermeasure
from ue_ray.evaluation.countermeasures.none import Nothing
from ue_ray.evaluation.recipes import RECIPES
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.collectives import own_part, rank, sum_over_workers, world_size
from ue_ray.learning.compute import Compute
from ue_ray.learning.models.whitening import victim_network
from ue_ray.learning.steps import WeightSteps


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Crops as ``crop`` does, then mirrors each image with a chance of a half: the paper's augmentation."""
    flips = (torch.rand(len(images), generator=generator) < 0.5).to(images.device, non_blocking=True)
    cropped = crop(images, generator)
    return torch.where(flips[:, None, None, None], cropped.flip(-2), cropped)


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Crops each image at random from itself with a black border, an eighth of its side: uint8 [N,H,W,3] -> the same.

    The border is 4 pixels wide for images of side 32. ``generator`` is the CPU's, wherever the images are: the same
    seed gives the same crops on every device.
    """
    count, height, width, _ = images.shape
    pad = max(1, round(height / 8))
    padded = functional.pad(images, (0, 0, pad, pad, pad, pad))
    tops = torch.randint(0, 2 * pad + 1, (count,), generator=generator)
    lefts = torch.randint(0, 2 * pad + 1, (count,), generator=generator)
    tops, lefts = torch.stack([tops, lefts]).to(images.device, non_blocking=True).unbind()
    which, down, right = (torch.arange(size, device=images.device) for size in (count, height, width))
    return padded[which[:, None, None], (tops[:, None] + down)[:, :, None], (lefts[:, None] + right)[:, None, :]]


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "crop-flip": crop_flip,
    "crop": crop,
    "none": lambda images, generator: images,
}


@dataclass(frozen=True)
class Epoch:
    """What a victim reached in one epoch; accuracies in [0, 1]. ``epoch`` counts from 1.

    ``held_out_accuracy``: on the training images that the countermeasure keeps back; None where it keeps none.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float
    held_out_accuracy: float | None = None


@dataclass(frozen=True)
class Training:
    """A finished training.

    ``curve``: an entry for each epoch; ``taken``: the epoch whose network counts, the last if no images were held out
    to choose it by; ``confusion``: how often that network takes each class for each on the test images, int64 [K,K],
    rows are the true classes; ``network``: that network.
    """

    curve: list[Epoch]
    taken: Epoch
    confusion: Tensor
    network: nn.Module


@dataclass(frozen=True)
class TrainingPlan:
    """How a victim is trained. The defaults are the paper's (Appendix B), which trains for 60 epochs.

    ``model``: of ``models.MODELS``, or ``whitened-`` and one of them.
    """

    model: str
    epochs: int
    seed: int = 0
    batch_size: int = 128
    learning_rate: float = 0.025
    augmentation: str = "crop-flip"
    recipe: str = "paper"


def train_classifier(
    train: LabelledImages,
    test: LabelledImages,
    num_classes: int,
    plan: TrainingPlan,
    compute: Compute,
    countermeasure: Countermeasure | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Training:
    """Trains a new network on ``train``, and measures it on ``test`` after each epoch; ``on_epoch`` gets each epoch.

    ``train`` is already purified; what else ``countermeasure`` does is done here. Raises UserError for an unknown model
    or augmentation.

    Several workers may call this together, each with all images. They get the same result, except for the seconds. Each
    takes its part of every batch of ``plan.batch_size`` rows. Batch normalisation is over the whole batch
    (``data_parallel``), while adversarial training and mixtures see only the part. The seed decides the order of the
    rows, and gives each worker its own chance for augmentation, countermeasure and dropout: the same seed and number
    of workers give the same result.
    """
    choose(plan.augmentation, AUGMENTATIONS, "augmentation")
    choose(plan.recipe, RECIPES, "recipe")
    measure = countermeasure or Nothing("")
    held_out = None
    if measure.held_out:
        train, held_out = _split(train, measure.held_out, plan.seed)
    trainer = _Trainer(train, num_classes, plan, compute, measure)
    curve: list[Epoch] = []
    taken, chosen = None, torch.zeros(0)
    weights: dict[str, Tensor] = {}  # of the epoch that is taken, where that need not be the last
    for epoch in range(plan.epochs):
        started = time.perf_counter()
        loss, train_accuracy = trainer.train_epoch(epoch)
        predicted = predictions(trainer.network, test, compute)
        held = None
        if held_out is not None:
            held = accuracy(held_out, predictions(trainer.network, held_out, compute))
        seconds = time.perf_counter() - started
        curve.append(Epoch(epoch + 1, loss, train_accuracy, accuracy(test, predicted), seconds, held))
        on_epoch(curve[-1])
        if taken is None or (held or 0.0) >= (taken.held_out_accuracy or 0.0):
            taken, chosen = curve[-1], predicted
            if held_out is not None:
                weights = deepcopy(trainer.network.state_dict())
    assert taken is not None
    if weights:
        trainer.network.load_state_dict(weights)
    return Training(curve, taken, confusion(test, chosen, num_classes), trainer.network)


class _Trainer:
    """A network in training, with its data and its sources of chance."""

    def __init__(
        self, train: LabelledImages, num_classes: int, plan: TrainingPlan, compute: Compute, measure: Countermeasure
    ) -> None:
        self.num_classes, self.plan, self.compute, self.measure = num_classes, plan, compute, measure
        torch.manual_seed(plan.seed)
        self.network = compute.place(victim_network(plan.model, num_classes, train.images))
        self.recipe = RECIPES[plan.recipe]
        options = self.recipe.nesterov, self.recipe.label_smoothing, not measure.augments
        self.steps = WeightSteps(self.network, compute, plan.learning_rate, *options)
        self.order, self.chance = _generators(plan.seed)
        self.pixels, self.labels = on_device(*tensors(train), compute.device)

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """Trains for one epoch, counted from 0; returns the mean loss and the training accuracy in [0, 1]."""
        self.measure.progress = epoch / self.plan.epochs
        size = self.plan.batch_size
        batches = max(1, len(self.labels) // size)  # an incomplete batch is left out, of other rows each time
        order = torch.randperm(len(self.labels), generator=self.order)
        loss = torch.zeros((), device=self.compute.device)
        wrong = torch.zeros((), dtype=torch.int64, device=self.compute.device)
        order = order.to(self.pixels.device)
        for batch in range(batches):
            rows = order[batch * size : (batch + 1) * size]
            rate = self.recipe.schedule(self.plan.learning_rate, epoch + batch / batches, self.plan.epochs)
            self.steps.optimizer.param_groups[0]["lr"] = rate
            batch_loss, batch_wrong = self.steps.step(*self._part(own_part(rows)), len(rows))
            loss += batch_loss
            wrong += batch_wrong
        count = min(batches * size, len(order))
        return float(sum_over_workers(loss)) / count, 1 - int(sum_over_workers(wrong)) / count

    def _part(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the images at ``rows``, augmented, and their labels or the probabilities of their labels."""
        augment = AUGMENTATIONS[self.plan.augmentation]
        images = self.compute.images(augment(self.pixels[rows], self.chance))
        targets = self.labels[rows].to(self.compute.device)
        if not self.measure.augments:
            return images, targets
        targets = functional.one_hot(targets, self.num_classes).to(torch.float32)
        return self.measure.augment(images, targets, self.network, self.chance)


def _generators(seed: int) -> tuple[torch.Generator, torch.Generator]:
    """Returns the generator of the order of rows, the same for all workers, and that of this worker's own chance."""
    order = torch.Generator().manual_seed(seed)
    if world_size() == 1:
        return order, order
    seeds = torch.randint(1 << 62, (world_size(),), generator=torch.Generator().manual_seed(seed))
    own = int(seeds[rank()])
    torch.manual_seed(own)  # dropout draws from the global generator
    return order, torch.Generator().manual_seed(own)


def tensors(data: LabelledImages) -> tuple[Tensor, Tensor]:
    """Returns images uint8 [n,S,S,3] and labels int64 [n], copied: arrays from an object store are read-only."""
    return torch.from_numpy(data.images.copy()), torch.from_numpy(data.labels.copy())


def on_device(pixels: Tensor, labels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns both on ``device`` where the images fit into half of a GPU's free memory, else as they are.

    Cut out and cropped on a GPU, batches cost no time of a CPU core: one core crops 250 images of side 224 a second.
    """
    if device.type == "cuda" and pixels.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return pixels.to(device), labels.to(device)
    return pixels, labels


def _split(data: LabelledImages, share: float, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """Returns (the rest, a ``share`` drawn by ``seed``)."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed)).numpy()
    cut = round(share * len(data))
    return data.take(order[cut:]), data.take(order[:cut])


@torch.inference_mode()
def predictions(network: nn.Module, data: LabelledImages, compute: Compute, batch_size: int = 500) -> Tensor:
    """Returns the class that the network takes each image for: int64 [n] on the CPU.

    Several workers may call this together: they share the images out, and each gets all predictions.
    """
    network.eval()
    predicted = torch.zeros(len(data), dtype=torch.int64, device=compute.device)
    pixels, _ = tensors(data)
    for start in range(rank() * batch_size, len(data), world_size() * batch_size):
        with compute.autocast():
            logits = network(compute.images(pixels[start : start + batch_size]))
        predicted[start : start + batch_size] = logits.argmax(1)
    return sum_over_workers(predicted).cpu()


def accuracy(data: LabelledImages, predicted: Tensor) -> float:
    """Returns the share of images, in [0, 1], that are taken for what they are."""
    return int((torch.from_numpy(data.labels.copy()) == predicted).sum()) / len(data)


def confusion(data: LabelledImages, predicted: Tensor, num_classes: int) -> Tensor:
    """Counts how often each class is taken for each: int64 [K,K]; rows are the true classes.

    Of ten thousand classes that is a gigabyte, so it is counted once, at the end.
    """
    pairs = torch.from_numpy(data.labels.copy()) * num_classes + predicted
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)
