"""The tables of docs/paper.md, from the records in benchmarks/results/paper; ``tables.py`` writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ue_ray.evaluation.measures import Estimate

Read = Callable[[str], Any]  # a record, by its name below benchmarks/results
FAST = "Fast AutoAugment's operations"


def cell(record: Mapping[str, Any], label: str, kinds: Sequence[str] = ("final", "peak")) -> str:
    """``49.5 / 49.5``, of an arm; empty where it was not trained."""
    runs = record["runs"].get(label, [])
    return " / ".join(str(Estimate.of([run[f"{kind}_test_accuracy"] for run in runs])) for kind in kinds if runs)


def augmentations(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    record = read("paper/augmentations-cifar10-4k.json")
    names = {
        "cutout": "Cutout", "mixup": "Mixup", "cutmix": "CutMix", "fast-autoaugment": FAST,
        "autoaugment": "AutoAugment", "randaugment": "RandAugment",
    }  # fmt: skip
    sets = ("clean", "class-wise", "sample-wise")
    rows = []
    for name, what in names.items():
        labels = [f"{each}, {name}" for each in sets]
        theirs = ", ".join(f"{record['paper'][label]:.1f}" for label in labels[1:] if label in record["paper"])
        rows.append((what, *(cell(record, label) for label in labels), theirs))
    return ("`augmentations`, CIFAR-10, final / peak", *sets, "the paper: class-wise, sample-wise"), rows


def patches(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    record = read("paper/patches-cifar10-4k.json")
    rows = []
    for name in dict.fromkeys(label.rpartition(", ")[0] for label in record["runs"]):
        labels = [f"{name}, {countermeasure}" for countermeasure in ("none", "fast-autoaugment")]
        theirs = ", ".join(f"{record['paper'][label]:.1f}" for label in labels if label in record["paper"])
        rows.append((name, *(cell(record, label) for label in labels), theirs))
    return ("`patches`, CIFAR-10, final / peak", "no countermeasure", FAST, "the paper"), rows


def noise_types(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    records = [read(f"paper/noise-types-{name}.json") for name in ("cifar10-4k", "cifar10-4k-no-views", "mnist5k")]
    first, rows = records[0], []
    for label in first["runs"]:
        theirs = f"{first['paper'][label]:.2f}" if label in first["paper"] else ""
        rows.append((label, *(cell(record, label) for record in records), theirs))
    return ("`noise-types`, final / peak", "CIFAR-10", "without views", "digits", "the paper"), rows


def backdoor(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    record = read("paper/backdoor-cifar10-4k.json")
    shares = [f"{share} %" for share in range(0, 101, 20)]
    rows = [
        (noise, *(cell(record, f"{noise} {share}", ("final",)) for share in shares))
        for noise in ("random", "error-maximizing", "error-minimizing")
    ]
    return ("`backdoor`, CIFAR-10, success rate by the share protected", *shares), rows


PAPER_TABLES = {
    "augmentations": augmentations, "backdoor": backdoor, "noise-types": noise_types, "patches": patches,
}  # fmt: skip
