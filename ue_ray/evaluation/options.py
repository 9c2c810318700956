"""What a user may say of an evaluation: flags of ``ue-ray evaluate``, keywords of ``ue_ray.evaluate``.

Help comes at once: what checks the options needs torch, and is loaded when they are checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from ue_ray.errors import (
    Section,
    UserError,
    check_at_least,
    choose,
    choose_all,
    flag,
    listed,
    option,
    option_names,
    parse_seeds,
    with_options,
)
from ue_ray.noise.budget import parse_epsilon
from ue_ray.storage.inputs.options import SELECTING, SourceOptions

if TYPE_CHECKING:
    from ue_ray.evaluation.trackers import Tracker
    from ue_ray.evaluation.training import TrainingPlan

FEW_IMAGES = 10_000  # of which three trainings take minutes


@dataclass(frozen=True, kw_only=True)
class VictimOptions:
    """How victims are trained."""

    seeds: Sequence[int] = option(
        "Separated by commas: each victim is trained once with each. Default: 0.", (0,), parse_seeds
    )
    augmentation: str = option(
        "Of the victims: crop-flip (the paper's), crop (where left and right differ, as in digits) or none. Default: "
        "crop-flip.",
        "crop-flip",
    )
    image_size: int | None = option(
        "The side at which networks see the images. Default: that of the images, at most 224.", None
    )
    cpus_per_victim: int = option("CPUs of each worker that trains a victim. Default: 1.", 1)
    use_gpu: Literal["auto", "yes", "no"] = option(
        "A GPU for each worker that trains a victim, or a part of one. auto: where the cluster has GPUs now; yes also "
        "waits, half an hour, for nodes that are still to be started. Default: auto.",
        "auto",
    )
    track: Sequence[str] = option(
        "Show each victim's learning curve there too, separated by commas: tensorboard (event files beside the "
        "victims' runs), mlflow, wandb (set up by their own environment variables).",
        (),
        listed,
    )

    def __post_init__(self) -> None:
        from ue_ray.evaluation.training import AUGMENTATIONS
        from ue_ray.learning.models import SMALLEST_IMAGE

        check_sequence(self, "seeds", int)
        check_sequence(self, "track", str)
        choose(self.augmentation, AUGMENTATIONS, "augmentation")
        check_at_least(self, {"cpus_per_victim": 1, "image_size": SMALLEST_IMAGE})
        _ = self.trackers

    @property
    def trackers(self) -> dict[str, Tracker]:
        """The trackers of ``track``, by name. Raises UserError for one that is unknown or not installed."""
        from ue_ray.evaluation.trackers import parse_trackers

        return parse_trackers(",".join(self.track))


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(VictimOptions, SourceOptions):
    """All options of an evaluation. Raises UserError for a value that makes no sense."""

    test_labels: str | None = option("Of --test: its --labels. Default: --labels.", None)
    test_split: str | None = option("Of --test: its --split.", None)
    seeds: Sequence[int] = option(
        "Separated by commas: each victim is trained once with each. Default: 0,1,2 for at most 10,000 images, "
        "0 for more.",
        (),
        parse_seeds,
    )
    victims: Sequence[str] | None = option(
        "Networks, separated by commas: resnet9, resnet9-wide, resnet18, resnet50, vgg11, densenet121, "
        "inception-resnet, inception-resnet-small, linear; each also as whitened-NAME, behind a whitening layer: a "
        "verdict should rest on both. Default: resnet18 and whitened-resnet18 on a GPU, else the same of resnet9.",
        None,
        listed,
    )
    recipe: str = option(
        "How victims are trained. fast: one cycle to a learning rate of 0.12, Nesterov momentum, label smoothing. "
        "paper: Appendix B. Default: fast.",
        "fast",
    )
    epochs: int | None = option("Default: 12 for fast, 60 for paper.", None)
    controls: Sequence[str] = option(
        "random: the clean images with random noise of the same budget. Empty: none. Default: random.",
        ("random",),
        listed,
    )
    countermeasures: Sequence[str] = option(
        "What the taker tries, separated by commas: every victim is trained with each. none; cutout, mixup, cutmix, "
        "fast-autoaugment, autoaugment, randaugment, coin, ueraser, ueraser-lite, ueraser-max; grayscale (the test "
        "images too), grayscale-train (not they), jpeg-1 ... jpeg-100 (the quality), jpeg-QUALITY-after (the crop), "
        "resize-half (and back), bit-depth-1 ... -7, gaussian-blur or gaussian-blur-SIGMA, median, "
        "denoise-dct, orthogonal-projection; adversarial-training-8 (of 255); early-stopping. Several together: "
        "grayscale+jpeg-10. Default: none.",
        ("none",),
        listed,
    )
    epsilon: float | None = option(
        "The budget, where the protected images are not an output of protect.", None, parse_epsilon
    )
    batch_size: int = option("Images of a batch, over all workers of a victim. Default: 128.", 128)
    learning_rate: float | None = option("The highest. Default: 0.12 for fast, 0.025 for paper.", None)
    workers_per_victim: int = option(
        "Above 1, each victim is trained by so many Train workers together, one victim after the other. Each worker "
        "has --cpus-per-victim CPUs, its GPU (--use-gpu), and its part of every batch. Default: 1.",
        1,
    )

    def __post_init__(self) -> None:
        from ue_ray.evaluation.countermeasures import parse
        from ue_ray.evaluation.recipes import RECIPES
        from ue_ray.evaluation.victim import CONTROLS
        from ue_ray.learning.models import check_model
        from ue_ray.learning.models.whitening import PREFIX

        super().__post_init__()
        for name in ("victims", "controls", "countermeasures"):
            if getattr(self, name) is not None:
                check_sequence(self, name, str)
        if self.victims is not None and not self.victims:
            raise UserError("--victims is empty: name at least one network")
        for name in self.victims or ():
            check_model(name.removeprefix(PREFIX))
        choose(self.recipe, RECIPES, "recipe")
        choose_all(",".join(self.controls), CONTROLS, "control")
        if not self.countermeasures:
            raise UserError("--countermeasures is empty: name at least one; none leaves the images as they are")
        for name in self.countermeasures:
            parse(name)
        check_at_least(self, {"epochs": 1, "batch_size": 2, "workers_per_victim": 1})
        if self.batch_size < self.workers_per_victim:
            raise UserError(
                f"--batch-size is {self.batch_size}: too few for --workers-per-victim {self.workers_per_victim}"
            )
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise UserError(f"--learning-rate is {self.learning_rate:g}: it must be above 0")

    @property
    def protected_source(self) -> dict[str, Any]:
        """The keywords of ``open_source`` for the protected images. Their classes follow from the clean ones."""
        return {name: value for name, value in self.source.items() if name != "classes"}

    @property
    def test_source(self) -> dict[str, Any]:
        """The keywords of ``open_source`` for the test images: all those of the classes that are trained on."""
        own = {"labels": self.test_labels or self.labels, "split": self.test_split} | dict.fromkeys(SELECTING)
        return {name: value for name, value in {**self.source, **own}.items() if value is not None}

    def resolved(self, images: int, gpu: bool) -> EvaluateOptions:
        """Returns these options with those filled in that hang on the recipe, on the number of training images, and on
        using a GPU."""
        from ue_ray.evaluation.recipes import RECIPES
        from ue_ray.learning.models.whitening import PREFIX

        recipe, network = RECIPES[self.recipe], "resnet18" if gpu else "resnet9"
        return replace(
            self,
            victims=(network, PREFIX + network) if self.victims is None else self.victims,
            seeds=self.seeds or ((0, 1, 2) if images <= FEW_IMAGES else (0,)),
            epochs=self.epochs or recipe.epochs,
            learning_rate=self.learning_rate or recipe.learning_rate,
        )

    @property
    def plans(self) -> list[TrainingPlan]:
        """How each victim is trained with each seed, the seeds of a victim in a row; of options that are resolved."""
        from ue_ray.evaluation.training import TrainingPlan

        assert self.epochs is not None
        assert self.learning_rate is not None
        assert self.victims is not None
        return [
            TrainingPlan(name, self.epochs, seed, self.batch_size, self.learning_rate, self.augmentation, self.recipe)
            for name in self.victims
            for seed in self.seeds
        ]


def check_sequence(options: Any, name: str, kind: type) -> None:
    """Raises UserError unless the option is a list or a tuple of values of that type, each of which is there once."""
    values = getattr(options, name)
    if not isinstance(values, list | tuple) or not all(isinstance(value, kind) for value in values):
        what = {int: "whole numbers", str: "names"}[kind]
        raise UserError(f"{flag(name)} is {values!r}: expected a list of {what}")
    for value in values:
        if values.count(value) > 1:  # the same victim, trained once, would count as several
            raise UserError(f"{flag(name)} has {value} {values.count(value)} times: name each once")


def read_options(section: type[Section], given: Mapping[str, Any]) -> Section:
    """Makes ``section``, an options dataclass, of the options ``given``; None is not given.

    Raises UserError for an option that there is not, and for a value that makes no sense.
    """
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        choose(name, option_names(section), "option")
    return with_options(section, given)


def as_settings(options: Any) -> dict[str, Any]:
    """Returns the options by name, as results.json holds them: lists are written with commas."""
    values = {entry.name: getattr(options, entry.name) for entry in fields(options)}
    return {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else value for name, value in values.items()
    }
