"""What stands out of a noise after each handling, without training a network, and whether that predicts victims.

    python benchmarks/separability.py --data data --output separability.json
    python benchmarks/separability.py --data data --output separability.json --board board/results.json

``--data``: as for ``dependability.py``, one of whose sets is taken. Every noise is crafted, and clean and protected
images are handled alike, as by a data taker. ``--board``: the results of ``ue-ray reproduce --experiment board``, whose
rows and columns have the same names: adds rank correlations to its victims' accuracies. A noise that ``--output`` holds
already, of the same settings, is not measured again. Without Ray.

Four measures, of each noise after each handling:

``stands_out``: the mean changes of the classes against what images vary by: the root of the sum, over all waves of a
discrete cosine transform and three colours, of the variance between classes over that of clean images within a class.
``difference``: the accuracy of a linear classifier that tells classes by what the noise has changed, protected less
clean. ``images``: that of one which sees protected images, on others of them. ``clean``: that of the same one on clean
images: a victim of one layer. Accuracies are of images kept back, in [0, 1].
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import nn
from torch.nn.functional import one_hot

sys.path.insert(0, str(Path(__file__).parent.parent))

import ue_ray
from benchmarks.dependability import SETS, decoded
from ue_ray.evaluation.countermeasures import parse
from ue_ray.experiments.base import CLEAN
from ue_ray.experiments.board import parse_entry
from ue_ray.experiments.board_page import rows as board_rows
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.machine import machine, versions
from ue_ray.noise.methods import epsilon_for
from ue_ray.storage.inputs.blocks import stratified_rows

MEASURES = ("stands_out", "difference", "images", "clean")
COLOURS = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])  # brightness, red-green, blue-yellow
BANDS = {"brightness": slice(0, 1), "colour": slice(1, 3)}
ROUNDING = 1 / 12  # the variance of rounding to whole levels: nothing stands out from less
RIDGE = 0.01  # of the mean variance of an image


@dataclass(frozen=True)
class Options:
    data: str
    output: str
    cut: str = "cifar100-4"
    """one of the sets of ``dependability.py``"""
    images: int = 2000
    methods: tuple[str, ...] = (
        "gratings",
        "gratings:granularity=sample-wise",
        "gratings:cells=8",
        "error-minimizing",
        "lsp",
        "lsp:granularity=sample-wise",
        "autoregressive",
        "autoregressive:granularity=sample-wise",
        "pil:granularity=sample-wise",
        "ops",
        "cuda",
        "random",
        "random:granularity=sample-wise",
    )
    """as for the board: METHOD or METHOD:OPTION=VALUE"""
    handlings: tuple[str, ...] = (
        "none", "grayscale", "jpeg-10", "jpeg-75", "resize-half", "bit-depth-2", "median", "coin"
    )  # fmt: skip
    """countermeasures that change images before or while a network sees them"""
    epsilon: str = "8/255"
    seed: int = 0
    """of the noises"""
    board: str | None = None


def main(options: Options) -> None:
    file = Path(options.output)
    record = begun(options, file)
    data = loaded(options)
    clean = {name: handled(data, name) for name in options.handlings}
    for entry in options.methods:
        if entry in record["noises"]:
            continue
        record["noises"][entry] = measured(options, entry, data, clean)
        print(f"{entry}: {record['noises'][entry]['seconds']:.0f} s", flush=True)
        file.write_text(json.dumps(record, indent=1))
    if options.board is not None:
        victims = accuracies(json.loads(Path(options.board).read_text()))
        record["victims"] = correlations(record["noises"], victims)
        file.write_text(json.dumps(record, indent=1))
    print("\n".join(tables(record)))


def begun(options: Options, file: Path) -> dict[str, Any]:
    """Returns the record that is in ``file``, where its settings are these; otherwise a new one."""
    settings = asdict(options)
    settings = {name: settings[name] for name in ("cut", "images", "handlings", "epsilon", "seed")}
    settings["handlings"] = list(options.handlings)
    if file.exists() and (earlier := json.loads(file.read_text()))["settings"] == settings:
        return dict(earlier)
    places = [re.sub(r"^/.*/", "", part) for part in sys.argv[1:]]
    command = shlex.join(["python", "benchmarks/separability.py", *places])
    return {"command": command, "settings": settings, "machine": machine(), "versions": versions(), "noises": {}}


def loaded(options: Options) -> LabelledImages:
    """Returns the first training images of each class of the set."""
    chosen = SETS[options.cut]
    root = Path(options.data) / chosen.folder
    place = root / "train" if (root / "train").is_dir() else root / "train.parquet"
    uri = chosen.folder if chosen.folder == "mnist5k" else str(place)
    return decoded(uri, chosen.classes, options.images // len(chosen.classes or range(10)))


def measured(options: Options, entry: str, data: LabelledImages, clean: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Crafts the noise of the entry, and measures what is left of it after each handling. ``clean``: by handling."""
    given = parse_entry(entry)
    started = time.perf_counter()
    artifact = ue_ray.craft(
        data.images, data.labels, class_names=data.class_names, sample_ids=data.sample_ids,
        **epsilon_for(given["method"], options.epsilon), **{"seed": options.seed} | given,
    )  # fmt: skip
    crafted = time.perf_counter()
    protected = np.stack(ue_ray.Protector(artifact).protect(data.images, data.labels, data.sample_ids))
    facts: dict[str, Any] = {
        "budget": str(artifact.config.budget),
        "craft_seconds": round(crafted - started, 2),
        "largest_change": int(np.abs(protected.astype(int) - data.images).max()),
        "handlings": {},
    }
    made = LabelledImages(protected, data.labels, data.sample_ids, data.class_names)
    for name in options.handlings:
        facts["handlings"][name] = separability(handled(made, name), clean[name], tested(data, name), data.labels)
    return facts | {"seconds": round(time.perf_counter() - started, 1)}


def handled(data: LabelledImages, name: str) -> np.ndarray:
    """Returns the images as a network is trained on them, float32 [n,S,S,3] in levels; chance is the same each time."""
    countermeasure = parse(name)
    purified = countermeasure.purify_all(data.images, data.labels)
    if not countermeasure.augments:
        return purified.astype(np.float32)
    images = torch.from_numpy(purified).permute(0, 3, 1, 2).float() / 255
    targets = one_hot(torch.from_numpy(data.labels)).float()
    changed, _ = countermeasure.augment(images, targets, nn.Identity(), torch.Generator().manual_seed(0))
    return 255 * changed.permute(0, 2, 3, 1).numpy()


def tested(data: LabelledImages, name: str) -> np.ndarray:
    """Returns clean images as the taker tests on them, float32 [n,S,S,3]."""
    return parse(name).purify_test(data.images).astype(np.float32)


def separability(protected: np.ndarray, clean: np.ndarray, test: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Returns the measures of a noise. ``protected``, ``clean``: both handled; ``test``: clean images to test on."""
    change = protected - clean
    kept = stratified_rows(labels, 0.5, seed=0)
    train = np.setdiff1d(np.arange(len(labels)), kept)

    def accuracy(images: np.ndarray, tests: np.ndarray) -> float:
        found = linear(images[train].reshape(len(train), -1), labels[train], tests[kept].reshape(len(kept), -1))
        return round(float((found == labels[kept]).mean()), 4)

    code, content = between_and_within(waves(change), waves(clean), labels)
    return {
        "stands_out": round(float(np.sqrt(max(0.0, (code / (content + ROUNDING)).sum()))), 2),
        "difference": accuracy(change, change),
        "images": accuracy(protected, protected),
        "clean": accuracy(protected, test),
        "bands": bands(code, content),
    }


def waves(images: np.ndarray) -> np.ndarray:
    """Returns the orthonormal discrete cosine transform of each colour, float64 [n,3,S,S], of [n,S,S,3]."""
    side = images.shape[1]
    place, wave = np.arange(side), np.arange(side)[:, None]
    basis = np.sqrt(2 / side) * np.cos(np.pi * (place + 0.5) * wave / side)
    basis[0] /= np.sqrt(2)
    colours = np.einsum("nhwc,kc->nkhw", images.astype(np.float64), COLOURS)
    transformed: np.ndarray = basis @ colours @ basis.T
    return transformed


def between_and_within(change: np.ndarray, clean: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns, wave by wave, [3,S,S]: the variance of the classes' mean changes, less what chance alone would give it,
    and the mean variance of clean images within a class."""
    groups = [labels == label for label in np.unique(labels)]
    means = np.stack([change[group].mean(0) for group in groups])
    chance = np.mean([change[group].var(0, ddof=1) / np.count_nonzero(group) for group in groups], axis=0)
    within = np.mean([clean[group].var(0, ddof=1) for group in groups], axis=0)
    return means.var(0, ddof=1) - chance, within


def bands(code: np.ndarray, content: np.ndarray) -> dict[str, float]:
    """Returns the energy of the code over that of the content, by colour and by octave of the wave."""
    side = code.shape[-1]
    wave = np.maximum(*np.indices((side, side)))
    octaves = {"low": wave < side // 8, "middle": (wave >= side // 8) & (wave < side // 2), "high": wave >= side // 2}
    return {
        f"{colour}, {octave}": float(f"{code[part][:, at].sum() / (content[part][:, at] + ROUNDING).sum():.3g}")
        for colour, part in BANDS.items()
        for octave, at in octaves.items()
    }


def linear(images: np.ndarray, labels: np.ndarray, tests: np.ndarray) -> np.ndarray:
    """Returns the class of each of ``tests``, int64 [m], by ridge regression on ``images``, [n,d], in closed form."""
    middle = images.mean(0)
    centred = (images - middle).astype(np.float64)
    kernel = centred @ centred.T
    size = kernel.trace() / len(kernel)
    if size == 0:  # nothing to tell classes by
        return np.zeros(len(tests), np.int64)
    targets = np.eye(labels.max() + 1)[labels]
    weights = centred.T @ np.linalg.solve(kernel + RIDGE * size * np.eye(len(kernel)), targets - targets.mean(0))
    found: np.ndarray = ((tests - middle) @ weights + targets.mean(0)).argmax(1)
    return found


def accuracies(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Returns the mean final accuracy by method and countermeasure. ``results``: of a board, as in results.json."""
    return {
        row.name: {name: cell.final.mean for name, cell in row.cells.items()}
        for row in board_rows(results)
        if row.name != CLEAN
    }


def correlations(
    noises: Mapping[str, Any], victims: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns Spearman's rank correlation of each measure to the victims' accuracies, over the noises of both: by
    measure, then by handling and over all cells; with the number of cells. None where there are fewer than three."""
    shared = [name for name in noises if name in victims]
    columns = [name for name in next(iter(noises.values()))["handlings"] if all(name in victims[row] for row in shared)]
    cells = {name: [(row, name) for row in shared] for name in columns}
    cells["all"] = [cell for column in cells.values() for cell in column]
    return {
        measure: {
            name: {
                "n": len(chosen),
                "spearman": spearman(
                    [noises[row]["handlings"][column][measure] for row, column in chosen],
                    [victims[row][column] for row, column in chosen],
                ),
            }
            for name, chosen in cells.items()
        }
        for measure in MEASURES
    }


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Returns the correlation of the ranks, equals sharing theirs; None of fewer than three, or where all are equal."""
    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    return round(float(np.corrcoef(_ranks(first), _ranks(second))[0, 1]), 3)


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    mean: np.ndarray = (np.cumsum(count) - (count - 1) / 2)[place]
    return mean


def tables(record: Mapping[str, Any]) -> list[str]:
    """Returns a table in Markdown a measure, noises x handlings, and one of the correlations where there are some."""
    handlings = record["settings"]["handlings"]
    lines = []
    for measure in MEASURES:
        lines += ["", *_head(measure, handlings)]
        for entry, facts in record["noises"].items():
            values = [facts["handlings"][name][measure] for name in handlings]
            lines.append(_line(entry, [f"{v:.1f}" if measure == "stands_out" else f"{100 * v:.0f}" for v in values]))
    if "victims" in record:
        columns = list(record["victims"][MEASURES[0]])
        lines += ["", *_head("rank correlation to victims", columns)]
        for measure, found in record["victims"].items():
            lines.append(_line(measure, [f"{found[name]['spearman']} (n = {found[name]['n']})" for name in columns]))
    return lines[1:]


def _head(title: str, columns: Sequence[str]) -> list[str]:
    return [_line(title, columns), _line("---", ["---"] * len(columns)).replace(" ", "")]


def _line(name: str, values: Sequence[str]) -> str:
    return f"| {' | '.join([name, *values])} |"


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
