"""Some people among many protect their photos, each alone: does a recogniser that is trained on all still know them?

    python benchmarks/people.py --data lfw20 --output out/people

``--data``: a folder with ``train.parquet`` and ``test.parquet`` of people's photos, such as LFW's people with 20 photos
or more. Eight people protect their training photos at full size, in runs of their own: no run sees anybody else's
photos. Then all photos, theirs and those of the others, are published: as they are, or at half the size as JPEG of
quality 75. The recogniser sees the middle of each, shrunk, and is judged on clean photos of everybody. A JSON file a
recogniser is written as it ends, and is not made again. Without Ray.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
import tyro
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).parent.parent))

import ue_ray
from ue_ray.evaluation.recipes import RECIPES
from ue_ray.evaluation.training import TrainingPlan
from ue_ray.evaluation.victim import recalls, run_victim
from ue_ray.images.codec import resize
from ue_ray.images.labelled import LabelledImages
from ue_ray.learning.compute import Compute
from ue_ray.learning.machine import machine, versions
from ue_ray.protection.presets import preset
from ue_ray.storage.inputs.open_source import open_source
from ue_ray.storage.inputs.samples import Sample, decode_rows

NOISES: dict[str, dict[str, Any] | None] = {
    "clean": None,
    "default": {},
    **{f"photos-{strength}": preset("photos", strength) for strength in ("low", "mid", "high")},
    "brightness-16": preset("photos", "high") | {"tint": "brightness"},
}
MIDDLE = 0.6  # of each side of a photo: LFW's show shoulders and walls, too


@dataclass(frozen=True)
class Options:
    data: str
    output: str
    noises: tuple[str, ...] = tuple(NOISES)
    handlings: tuple[str, ...] = ("none", "half-jpeg-75")
    victims: tuple[str, ...] = ("resnet9",)
    seeds: int = 3
    """of the noise and of the recogniser"""
    side: int = 64
    epochs: int = 20
    people: int = 8
    processes: int = 2
    device: str = "cpu"


@dataclass(frozen=True)
class Recogniser:
    noise: str
    handling: str
    model: str
    seed: int

    @property
    def file_name(self) -> str:
        return "-".join(map(str, asdict(self).values())) + ".json"


def main(options: Options) -> None:
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    planned = [
        Recogniser(noise, handling, model, seed)
        for seed in range(options.seeds)
        for model in options.victims
        for noise in options.noises
        for handling in options.handlings
    ]
    jobs = [(options, one) for one in planned if not (folder / one.file_name).exists()]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for line in pool.imap_unordered(run, jobs):
            print(line, flush=True)
    print("\n".join(table(folder)))


def run(job: tuple[Options, Recogniser]) -> str:
    """Trains one recogniser; writes what it knows and returns a line about it."""
    options, one = job
    torch.set_num_threads(1)
    photos, test = photos_of(options.data, "train"), photos_of(options.data, "test")
    chosen = people(photos.labels, options.people)
    seen = [shown(photo, one.handling, options.side) for photo in published(photos, chosen, one)]
    train_set = LabelledImages(np.stack(seen), photos.labels, photos.sample_ids, photos.class_names)
    tested = "grayscale" if gray in HANDLINGS[one.handling] else "none"  # who trains on grays is tested on grays
    clean = np.stack([shown(photo, tested, options.side) for photo in test.photos])
    test_set = LabelledImages(clean, test.labels, test.sample_ids, photos.class_names)
    plan = TrainingPlan(one.model, options.epochs, one.seed, 64, RECIPES["fast"].learning_rate, "crop-flip", "fast")
    entry = run_victim(train_set, test_set, one.noise, "none", plan, Compute.detect(options.device))
    recall, _ = recalls(np.array(entry["confusion"]))
    informed = np.array(entry["informedness"])
    others = np.setdiff1d(np.arange(len(recall)), chosen)
    record = {
        **asdict(one), "epochs": options.epochs, "side": options.side,
        "people": {photos.class_names[person]: round(float(recall[person]), 3) for person in chosen},
        "recognised": float(recall[chosen].mean()), "others": float(recall[others].mean()),
        "informedness": float(informed[chosen].mean()), "most_informedness": float(informed[chosen].max()),
        "accuracy": entry["final_test_accuracy"], "peak_accuracy": entry["peak_test_accuracy"],
        "seconds": round(entry["seconds"]), "machine": machine(), "versions": versions(),
    }  # fmt: skip
    (Path(options.output) / one.file_name).write_text(json.dumps(record))
    return (
        f"{one.file_name}: the {len(chosen)} recognised {100 * record['recognised']:.1f} %, "
        f"others {100 * record['others']:.1f} %, {record['seconds']} s"
    )


@dataclass(frozen=True)
class Photos:
    photos: list[np.ndarray]
    labels: np.ndarray
    sample_ids: list[str]
    class_names: list[str]


@cache
def photos_of(data: str, split: str) -> Photos:
    source = open_source(str(Path(data, f"{split}.parquet")))
    listing = source.list()
    samples = [entry for entry in decode_rows(source, listing.table) if isinstance(entry, Sample)]
    labels = np.array([sample.label for sample in samples])
    return Photos(
        [sample.image for sample in samples], labels, [sample.sample_id for sample in samples], listing.class_names
    )


def people(labels: np.ndarray, count: int) -> list[int]:
    """Every second one from the fourth most photographed on: the test has eight photos or more of each."""
    return np.argsort(-np.bincount(labels), kind="stable")[3 : 3 + 2 * count : 2].tolist()


def published(photos: Photos, chosen: list[int], one: Recogniser) -> list[np.ndarray]:
    """Returns all photos; those of each of the ``chosen`` with a noise that was made of them alone."""
    result = list(photos.photos)
    given = NOISES[one.noise]
    if given is None:
        return result
    for person in chosen:
        rows = np.flatnonzero(photos.labels == person)
        own, name = [result[row] for row in rows], photos.class_names[person]
        artifact = ue_ray.craft(own, [name] * len(own), seed=one.seed, device="cpu", **given)
        ids = [photos.sample_ids[row] for row in rows]
        for row, changed in zip(
            rows, ue_ray.Protector(artifact, "cpu").protect(own, [name] * len(own), ids), strict=True
        ):
            result[row] = changed
    return result


def scaled(photo: np.ndarray, by: float) -> np.ndarray:
    height, width = photo.shape[:2]
    size = round(width * by), round(height * by)
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def jpeg(photo: np.ndarray, quality: int) -> np.ndarray:
    buffer = BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def sharpened(photo: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.SHARPEN))


def gray(photo: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))


HANDLINGS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], ...]] = {
    "none": (),
    "half": (partial(scaled, by=0.5),),
    **{f"jpeg-{quality}": (partial(jpeg, quality=quality),) for quality in (95, 75, 50, 30)},
    "half-jpeg-75": (partial(scaled, by=0.5), partial(jpeg, quality=75)),
    "grayscale": (gray,),
    "grayscale-jpeg-75": (gray, partial(jpeg, quality=75)),
    "screenshot": (partial(scaled, by=0.8), sharpened, partial(jpeg, quality=80)),
}


def shown(photo: np.ndarray, handling: str, side: int) -> np.ndarray:
    """Returns the middle of a photo as the recogniser sees it, uint8 [side,side,3], after what happens to all."""
    for step in HANDLINGS[handling]:
        photo = step(photo)
    height, width = photo.shape[:2]
    tall, wide = round(MIDDLE * height), round(MIDDLE * width)
    top, left = (height - tall) // 2, (width - wide) // 2
    return resize(photo[top : top + tall, left : left + wide], side)


def table(folder: Path) -> Iterator[str]:
    """Markdown; writes ``summary.json`` beside the recognisers' files."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*-*-*.json")):
        record = json.loads(path.read_text())
        groups.setdefault(tuple(record[name] for name in ("noise", "handling", "model")), []).append(record)
    yield "| noise | handling | recogniser | n | the eight: mean, sd, worst | most informedness of one | others |"
    yield "|---|---|---|---|---|---|---|"
    for (noise, handling, model), records in groups.items():
        known = [100 * record["recognised"] for record in records]
        spread = stdev(known) if len(known) > 1 else 0.0
        most = max(record["most_informedness"] for record in records)
        others = fmean(100 * record["others"] for record in records)
        yield (
            f"| {noise} | {handling} | {model} | {len(known)} | {fmean(known):.1f}, {spread:.1f}, {max(known):.1f} | "
            f"{most:.2f} | {others:.1f} |"
        )
    (folder / "summary.json").write_text(json.dumps([record for each in groups.values() for record in each], indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
