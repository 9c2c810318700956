"""The paper's experiments: craft their noises, train their victims, hold the outcome against what it says."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Literal

import ray

from ue_ray.distributed import cluster
from ue_ray.distributed.console import say
from ue_ray.distributed.protect import protect
from ue_ray.distributed.survey import Survey, survey
from ue_ray.distributed.victims.data_parts import TEST, TRAIN, Part, parts
from ue_ray.distributed.victims.train_victims import handled, identified, load, train_victims
from ue_ray.errors import FaultsFound, UserError, check_at_least, option_names, parse_seeds
from ue_ray.evaluation.countermeasures import parse
from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.evaluation.trackers import Tracker, parse_trackers
from ue_ray.evaluation.training import TrainingPlan, check_augmentation
from ue_ray.evaluation.victim import check_same_classes
from ue_ray.experiments import SCALES, Arm, Mix, Recipe, Scale, experiment
from ue_ray.experiments.mix import compose
from ue_ray.experiments.page import experiment_page
from ue_ray.experiments.report import markdown, summarised
from ue_ray.experiments.trigger import triggered
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.machine import machine, versions
from ue_ray.learning.models import SMALLEST_IMAGE
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.noise.methods import METHODS
from ue_ray.storage.filesystem import absolute, join, write_bytes
from ue_ray.storage.inputs.open_source import open_source


@dataclass(frozen=True)
class ReproduceConfig:
    """Reproduce an experiment of the paper (Huang et al., ICLR 2021) and say whether its orderings show."""

    experiment: str
    """noise-types, datasets, percentages, classes, augmentations, adversarial-training, transfer, patches, mixtures,
    faces, backdoor or early-stopping."""
    output: str
    """Noises and trained victims are kept here, for all experiments on the same data: the same command again makes only
    what is missing. Each experiment's results.json, report.md and report.html are in a folder of its name."""
    scale: Literal["small", "paper"] = "small"
    """small: ResNet-9 and 10 epochs, for a CPU and some thousand images. paper: its networks, epochs and batches."""
    data: str = "mnist5k"
    """A built-in data set (mnist5k, cifar10, cifar100); a folder with train.parquet and test.parquet, or with folders
    train and test; or a folder of class folders (people), of each of which a fifth is tested on."""
    other: str | None = None
    """transfer: the other data set, as --data."""
    class_map: str | None = None
    """transfer: a JSON file, {"class of --data": "class of --other", ...}."""
    epsilon: str = "8/255"
    """The budget, where an experiment does not set it."""
    views: str | None = None
    """As for protect_dataset.py."""
    image_size: int | None = None
    """The side at which surrogates and victims see images. Default: their own, at most 224."""
    epochs: int | None = None
    """Default: the scale's."""
    augmentation: str = "crop-flip"
    """The victims': crop-flip (the paper's), crop (where left and right differ, as in digits) or none."""
    seeds: str = "0"
    """Separated by commas: each victim is trained once with each."""
    cpus_per_victim: int = 1
    track: str = ""
    """Show each victim's learning curve there too, by commas: tensorboard (event files under --output/victims), mlflow,
    wandb (set up by their own environment variables)."""


def reproduce(config: ReproduceConfig) -> dict[str, Any]:
    """Run the experiment and return its results.

    Raises UserError for a user's mistake, FaultsFound where an ordering of the paper does not show.
    """
    started = time.monotonic()
    check_at_least(config, {"epochs": 1, "cpus_per_victim": 1, "image_size": SMALLEST_IMAGE})
    chosen, scale = experiment(config.experiment), _scale(config)
    check_augmentation(config.augmentation)
    seeds = parse_seeds(config.seeds)
    trackers = parse_trackers(config.track)
    recipes, arms = chosen.recipes(), chosen.arms(scale)
    _check_other(config, any(recipe.other for recipe in recipes))
    output = absolute(config.output)
    store = VictimRuns(join(output, "victims"))
    store.check()
    cluster.connect()
    images = _parts(config, output)
    found = _surveyed(images)
    _check_classes(config, arms, len(found["clean"].summary.class_names))
    for recipe in recipes:
        place = join(output, "noises", recipe.name)
        say(f"{config.experiment}: {recipe.name}")
        _protect(config, scale, recipe, images, place)
        found[recipe.name] = survey(open_source(place))
    runs = _trained(config, scale, arms, seeds, found, store, trackers)
    claims = chosen.claims({label: summarised(entries) for label, entries in runs.items()})
    results: dict[str, Any] = {
        "format_version": 1,
        "experiment": config.experiment,
        "figure": chosen.figure,
        "accuracies": chosen.accuracies,
        "class_names": list(found["test"].summary.class_names),
        "command": shlex.join(["python", *sys.argv]),
        "seconds": round(time.monotonic() - started, 1),
        "victim_seconds": round(sum(run["seconds"] for entries in runs.values() for run in entries), 1),
        "machine": machine(),
        "versions": versions(),
        "config": asdict(config),
        "images": {"train": found["clean"].summary.labelled, "test": found["test"].summary.labelled},
        "paper": dict(chosen.paper),
        "runs": runs,
        "claims": [asdict(claim) for claim in claims],
    }
    text = markdown(config.experiment, chosen, runs, claims, _how(results, scale))
    folder = join(output, config.experiment)
    write_bytes(join(folder, "results.json"), json.dumps(results, indent=1).encode())
    write_bytes(join(folder, "report.md"), text.encode())
    write_bytes(join(folder, "report.html"), experiment_page(results).encode())
    print(text)
    print(f"report: {join(folder, 'report.html')}")
    missed = sum(not claim.holds for claim in claims)
    if missed:
        raise FaultsFound(f"{missed} of {len(claims)} orderings do not show")
    return results


def _parts(config: ReproduceConfig, output: str) -> dict[str, Part]:
    """The images to train and test on, ``clean`` and ``test``, and those of the other data set, where there is one."""
    own = parts(config.data, join(output, "parts"))
    found = {"clean": own[TRAIN], "test": own[TEST]}
    if config.other is not None:
        other = parts(config.other, join(output, "other parts"))
        found |= {"other": other[TRAIN], "other test": other[TEST]}
    return found


def _surveyed(images: dict[str, Part]) -> dict[str, Survey]:
    found = {name: survey(part.source) for name, part in images.items()}
    for train, test in (("clean", "test"), ("other", "other test")):
        if train in found:
            check_same_classes({name: found[name].summary.class_names for name in (train, test)})
    return found


def _check_classes(config: ReproduceConfig, arms: list[Arm], count: int) -> None:
    named = [k for arm in arms for k in (*(arm.mix.classes or ()), *arm.verified)]
    if max(named, default=0) >= count:
        raise UserError(f"{config.data}: has {count} classes; {config.experiment} needs at least {max(named) + 1}")


def _scale(config: ReproduceConfig) -> Scale:
    scale = SCALES[config.scale]
    return scale if config.epochs is None else replace(scale, epochs=config.epochs)


def _check_other(config: ReproduceConfig, needed: bool) -> None:
    if needed and config.other is None:
        raise UserError(f"{config.experiment} needs --other, a second data set")
    for name in ("other", "class_map"):
        if getattr(config, name) is not None and not needed:
            raise UserError(f"--{name.replace('_', '-')} is for transfer: {config.experiment} has no use for it")


def _protect(config: ReproduceConfig, scale: Scale, recipe: Recipe, images: dict[str, Part], place: str) -> None:
    """Craft the noise of ``recipe`` on the images, or on the other data set's, and lay it on the images."""
    crafting = {"views": config.views, "surrogate": scale.surrogate}
    own = option_names(METHODS[recipe.options["method"]].Options)
    common = {"epsilon": config.epsilon, "image_size": config.image_size}
    options = {**common, **{name: value for name, value in crafting.items() if name in own}, **recipe.options}
    if recipe.other:
        crafted_on, crafted = images["other"], f"{place}-crafted"
        protect(crafted_on.uri, crafted, labels=crafted_on.labels, mode="resume", **options)
        options = {"artifact": join(crafted, "noise"), "class_map": config.class_map}
    protect(images["clean"].uri, place, labels=images["clean"].labels, mode="resume", **options)


def _trained(
    config: ReproduceConfig,
    scale: Scale,
    arms: list[Arm],
    seeds: list[int],
    found: dict[str, Survey],
    store: VictimRuns,
    trackers: Mapping[str, Tracker],
) -> dict[str, list[dict[str, Any]]]:
    """By the arms' labels, one entry a seed."""
    side = config.image_size or found["clean"].summary.side
    identity = {name: identified(one) for name, one in found.items()}
    mixes: dict[str, Mix] = {}
    triggers: dict[VictimRun, str] = {}

    def run(arm: Arm, seed: int) -> VictimRun:
        model = arm.victim or scale.victim
        plan = TrainingPlan(model, scale.epochs, seed, scale.batch_size, scale.learning_rate, config.augmentation)
        name = arm.mix.name
        mixes[name] = arm.mix
        joined = ["other"] if arm.mix.joined else []
        parts = ["clean", *arm.mix.needs, *joined]
        train = " ".join([json.dumps(asdict(arm.mix)), *(identity[part] for part in parts)])
        test = identity["test"] + (f" triggered {identity[arm.trigger]}" if arm.trigger else "")
        test += f" joined {identity['other test']}" if joined else ""
        one = VictimRun(plan, name, arm.countermeasure, train, test, side, arm.verified)
        if arm.trigger:
            triggers[one] = arm.trigger
        return one

    wanted = {(arm.label, seed): run(arm, seed) for arm in arms for seed in seeds}

    @cache
    def loaded(name: str) -> Any:
        return load(found[name], side)

    @cache
    def mixed(mix: Mix, of: str) -> Any:
        other = loaded("other" if of == "clean" else f"other {of}") if mix.joined else None
        return _compose.remote(mix, loaded(of), other, *map(loaded, mix.needs)) if mix != Mix() else loaded(of)

    @cache
    def purified(mix: Mix, of: str, countermeasure: str) -> Any:
        return handled(mixed(mix, of), parse(countermeasure))

    @cache
    def attacked(name: str) -> Any:
        return _triggered.remote(loaded("test"), join(found[name].source.uri, "noise"))

    def images(one: VictimRun) -> tuple[Any, Any]:
        mix = mixes[one.train_set]
        train = purified(mix, "clean", one.countermeasure)
        if one in triggers:
            return train, attacked(triggers[one])
        return train, purified(mix.of_test, "test", one.countermeasure if parse(one.countermeasure).on_test else "none")

    with cluster.causes():
        runs = list(dict.fromkeys(wanted.values()))
        results = train_victims(runs, store, images, config.cpus_per_victim, trackers)
    return {arm.label: [results[wanted[arm.label, seed]] for seed in seeds] for arm in arms}


@ray.remote
def _triggered(test: LabelledImages, artifact: str) -> LabelledImages:
    return triggered(test, NoiseArtifact.load(artifact))


@ray.remote
def _compose(
    mix: Mix, clean: LabelledImages, other: LabelledImages | None, *protected: LabelledImages
) -> LabelledImages:
    return compose(mix, clean, dict(zip(mix.needs, protected, strict=True)), other)


def _how(results: dict[str, Any], scale: Scale) -> str:
    config, images = results["config"], results["images"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"{images['train']:,} training and {images['test']:,} test images of {config['data']}; {scale.epochs} epochs "
        f"of {scale.victim}, surrogate {scale.surrogate}; seeds {config['seeds']}; {results['seconds']:.0f} seconds, "
        f"without what was kept from earlier; the victims trained for {results['victim_seconds']:.0f} in all; "
        f"{results['machine']['cores']} cores of {results['machine']['cpu']}; {versions}."
    )
