"""Which noise outlives what a data taker may do? Methods against countermeasures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ue_ray.errors import UserError
from ue_ray.experiments.base import CLEAN, Arm, Claim, Experiment, Mix, Recipe, Result, Scale
from ue_ray.noise.methods import epsilon_for, noise_config

COUNTERMEASURES = (
    "none",
    "grayscale",
    "jpeg-10",
    "jpeg-10-after",
    "bit-depth-2",
    "coin",
    "orthogonal-projection",
    "ueraser-lite",
    "adversarial-training-4",
    "early-stopping",
)
METHODS = (
    "gratings",
    "gratings:cells=8",
    "error-minimizing",
    "error-minimizing:granularity=sample-wise",
    "lsp",
    "autoregressive",
    "tap:granularity=sample-wise",
    "pil:granularity=sample-wise",
    "sem:granularity=sample-wise",
)
SEEDS = (0, 1)


@dataclass(frozen=True)
class Board(Experiment):
    """``methods``: entries as ``parse_entry`` reads them, each a row of the board; ``countermeasures``: its columns;
    ``noise_seeds``: each noise is made once with each.

    The field's comparisons are of this kind: APBench (Qin et al., 2023), DUNE (2024).
    """

    methods: Sequence[str] = METHODS
    countermeasures: Sequence[str] = COUNTERMEASURES
    noise_seeds: Sequence[int] = SEEDS

    figure = "methods against countermeasures"

    def check(self, epsilon: str | float) -> None:
        """Raises UserError for a method, an option of it or a countermeasure that there is not, or that is there twice.

        ``epsilon``: of the methods that have none of their own.
        """
        from ue_ray.evaluation.countermeasures import parse

        for name in self.countermeasures:
            parse(name)
        names = Counter(noise_name(entry, 0) for entry in self.methods)
        for entry in self.methods:
            try:
                options = parse_entry(entry)
                given = epsilon_for(options["method"], epsilon) | options
                noise_config(given, ("any", "other"), images=200, side=32)
            except UserError as error:
                raise UserError(f"--methods: {entry!r}: {error}") from None
            if names[noise_name(entry, 0)] > 1:
                raise UserError(f"--methods: {entry!r} is there twice: name each once")

    def recipes(self) -> list[Recipe]:
        return [
            Recipe(noise_name(entry, seed), parse_entry(entry) | {"seed": seed})
            for entry in self.methods
            for seed in self.noise_seeds
        ]

    def arms(self, scale: Scale) -> list[Arm]:
        mixes = {recipe.name: Mix((recipe.name,)) for recipe in self.recipes()}
        return [
            Arm(f"{name}, {countermeasure}", mix, countermeasure)
            for countermeasure in self.countermeasures
            for name, mix in {CLEAN: Mix(), **mixes}.items()
        ]

    def claims(self, results: Mapping[str, Result]) -> list[Claim]:
        """None: no paper says what must show."""
        return []

    def layout(self) -> dict[str, dict[str, Any]]:
        """Returns by row, ``clean`` and the methods: the names of its noises, and by column the labels of its arms."""
        names = {entry: [noise_name(entry, seed) for seed in self.noise_seeds] for entry in self.methods}
        return {
            row: {
                "noises": noises,
                "cells": {
                    column: [f"{name}, {column}" for name in noises or [CLEAN]] for column in self.countermeasures
                },
            }
            for row, noises in {CLEAN: [], **names}.items()
        }


def noise_name(entry: str, seed: int) -> str:
    """Returns a name that is a file's too: ``gratings-cells-8-seed-0``."""
    return f"{entry.replace(':', '-').replace('=', '-').replace('/', 'of')}-seed-{seed}"


def parse_entry(entry: str) -> dict[str, Any]:
    """Reads ``METHOD`` or ``METHOD:OPTION=VALUE:...`` as options of ``protect``. Raises UserError for another form.

    Example:
        >>> parse_entry("gratings:cells=8:epsilon=12/255")
        {'method': 'gratings', 'cells': 8, 'epsilon': '12/255'}
    """
    method, *given = entry.split(":")
    options: dict[str, Any] = {"method": method}
    for each in given:
        name, equals, text = each.partition("=")
        if not (name and equals and text):
            raise UserError(f"{each!r} is no option: expected METHOD:OPTION=VALUE, such as gratings:cells=8")
        try:
            options[name.replace("-", "_")] = json.loads(text)
        except ValueError:
            options[name.replace("-", "_")] = text
    return options
