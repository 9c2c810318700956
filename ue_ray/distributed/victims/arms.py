"""Trains the victims of an experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ue_ray.distributed.survey import Survey
from ue_ray.distributed.victims.hardware import Hardware
from ue_ray.distributed.victims.image_sets import Images, ImageSets
from ue_ray.distributed.victims.train_victims import train_victims
from ue_ray.evaluation.runs import VictimRun, VictimRuns
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.experiments.base import Arm, Mix
from ue_ray.experiments.mix import compose
from ue_ray.experiments.options import ReproduceOptions
from ue_ray.experiments.trigger import triggered
from ue_ray.images.labelled import LabelledImages
from ue_ray.noise.artifact import NoiseArtifact
from ue_ray.storage.filesystem import join


def train_arms(
    arms: Sequence[Arm], options: ReproduceOptions, surveys: Mapping[str, Survey], store: VictimRuns, hardware: Hardware
) -> dict[str, list[dict[str, Any]]]:
    """Trains the victims that ``store`` does not have; returns the entries in results.json, one for each seed, by the
    labels of ``arms``.

    ``surveys``: the listed images ``clean`` and ``test``, those of the noises by name and, where an arm needs them,
    ``other`` and ``other test``.
    """
    side = options.image_size or surveys["clean"].summary.side
    sets = ImageSets(surveys, side)
    identities = sets.digests(surveys)
    runs = {(arm.label, seed): _run(arm, seed, options, side, identities) for arm in arms for seed in options.seeds}
    arm_of = {runs[arm.label, seed]: arm for arm in arms for seed in options.seeds}

    def images_of(run: VictimRun) -> tuple[Images, Images]:
        arm = arm_of[run]
        train = sets.purified(_mixed(sets, arm.mix, "clean", "other"), arm.countermeasure)
        if arm.trigger:
            noise = join(surveys[arm.trigger].source.uri, "noise")
            return train, sets.made(("triggered", arm.trigger), _trigger, sets.loaded("test"), noise)
        test = _mixed(sets, arm.mix.of_test, "test", "other test")
        return train, sets.purified(test, arm.countermeasure, for_test=True)

    entries = train_victims(list(arm_of), store, images_of, hardware, options.trackers)
    return {arm.label: [entries[runs[arm.label, seed]] for seed in options.seeds] for arm in arms}


def _run(arm: Arm, seed: int, options: ReproduceOptions, side: int, identities: Mapping[str, str]) -> VictimRun:
    scale = options.sizes
    model = arm.victim or scale.victim
    plan = TrainingPlan(
        model, scale.epochs, seed, scale.batch_size, scale.learning_rate, options.augmentation, scale.recipe
    )
    sources = ["clean", *arm.mix.needs, *(["other"] if arm.mix.joined else [])]
    train = " ".join([json.dumps(asdict(arm.mix)), *(identities[name] for name in sources)])
    test = identities["test"] + (f" triggered {identities[arm.trigger]}" if arm.trigger else "")
    test += f" joined {identities['other test']}" if arm.mix.joined else ""
    return VictimRun(plan, arm.mix.name, arm.countermeasure, train, test, side, arm.pair_classes)


def _mixed(sets: ImageSets, mix: Mix, clean: str, other: str) -> Images:
    if mix == Mix():
        return sets.loaded(clean)
    host = sets.loaded(other) if mix.joined else None
    return sets.made((mix, clean), _compose, mix, sets.loaded(clean), host, *map(sets.loaded, mix.needs))


def _trigger(test: LabelledImages, noise: str) -> LabelledImages:
    return triggered(test, NoiseArtifact.load(noise))


def _compose(
    mix: Mix, clean: LabelledImages, other: LabelledImages | None, *protected: LabelledImages
) -> LabelledImages:
    return compose(mix, clean, dict(zip(mix.needs, protected, strict=True)), other)
