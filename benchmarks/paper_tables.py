"""The tables of docs/paper.md, from the records in benchmarks/results/paper; ``tables.py`` writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from ue_ray.evaluation.measures import Estimate, percent
from ue_ray.experiments.base import SHOWS, WITHIN, answer_of
from ue_ray.experiments.classes import ONE, SEVERAL
from ue_ray.experiments.networks import TABLE_1
from ue_ray.experiments.report import summarised
from ue_ray.experiments.transfer import FOUR, GUEST, WHOLE
from ue_ray.experiments.transfer import PART as FOUR_OF_OTHER

Read = Callable[[str], Any]  # a record, by its name below benchmarks/results
FAST = "Fast AutoAugment's operations"
RECORDS = {  # in the order of the table of orderings: on which data, and how the noise was crafted
    "datasets-cifar10-4k": "CIFAR-10, `--views crop,flip`",
    "patches-cifar10-4k": "CIFAR-10, `--views crop,flip`",
    "augmentations-cifar10-4k": "CIFAR-10, `--views crop,flip`",
    "faces-lfw20-130": "LFW, 62 people, 80 epochs, `--views crop,flip`",
    "backdoor-cifar10-4k": "CIFAR-10, `--views crop,flip`",
    "mixtures-cifar10-4k": "CIFAR-10, `--views crop,flip`",
    "mixtures-mnist5k": "digits",
    "adversarial-training-cifar10-4k": "CIFAR-10, `--views crop,flip`",
    "percentages-cifar10-4k": "CIFAR-10, `--views crop,flip`",
    "percentages-cifar10-4k-no-views": "CIFAR-10, without views",
    "transfer-cifar10-4k": "CIFAR-10 and CIFAR-100, 20 epochs, `--views crop,flip`",
    "classes-cifar10-4k": "CIFAR-10, 30 epochs, without views",
    "noise-types-cifar10-4k": "CIFAR-10, `--views crop,flip`",
    "noise-types-cifar10-4k-no-views": "CIFAR-10, without views",
    "noise-types-mnist5k": "digits",
    "early-stopping-cifar10-4k": "CIFAR-10, `--views crop,flip`",
    "early-stopping-cifar10-4k-no-views": "CIFAR-10, without views",
}


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


def orderings(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Of each record: how many of the paper's orderings show, and how many are within the spread of its seeds."""
    rows = []
    for name, what in RECORDS.items():
        record = read(f"paper/{name}.json")
        answers = [answer_of(claim) for claim in record["claims"]]
        seeds = len(next(iter(record["runs"].values())))
        counts = f"{answers.count(SHOWS)} of {len(answers)}"
        within = str(answers.count(WITHIN)) if seeds > 1 else ""  # one seed has no spread
        rows.append((f"`{record['experiment']}`", what, str(seeds), counts, within))
    return ("experiment", "data", "n", "orderings that show", "within the spread"), rows


def datasets(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    record = read("paper/datasets-cifar10-4k.json")
    rows = []
    for name in dict.fromkeys(label.rpartition(", ")[0] for label in record["runs"]):
        theirs = ", ".join(f"{value:.2f}" for value in TABLE_1.get(name, {}).values())
        ours = (cell(record, f"{name}, {network}") for network in ("resnet9", "inception-resnet-small"))
        rows.append((name, *ours, theirs))
    networks = ", ".join(TABLE_1["clean"])
    return ("`datasets`, CIFAR-10, final / peak", "ResNet-9", "small Inception-ResNet", f"the paper: {networks}"), rows


def mixtures(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    images, digits = (read(f"paper/mixtures-{name}.json") for name in ("cifar10-4k", "mnist5k"))
    rows = []
    for name in digits["runs"]:
        labels = [name, f"{name}, fast-autoaugment"]
        theirs = ", ".join(f"{images['paper'][label]:.1f}" for label in labels if label in images["paper"])
        rows.append((name, *(cell(images, label) for label in labels), cell(digits, name), theirs))
    return ("`mixtures`, final / peak", "CIFAR-10, none", f"with {FAST}", "digits, none", "the paper"), rows


def percentages(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The final accuracies; ours and, where it has some, the paper's."""
    views, without = (read(f"paper/percentages-cifar10-4k{ending}.json") for ending in ("", "-no-views"))
    shares = [f"{share} %" for share in range(20, 101, 20)]
    alone = "the protected part of 80 % alone"

    def row(what: str, record: Mapping[str, Any], name: str) -> Sequence[str]:
        final = [cell(record, f"{name} {share}", ("final",)) for share in shares]
        return what, *final, cell(record, f"{name}, protected part of 80 %", ("final",))

    def theirs(name: str) -> Sequence[str]:
        figures = [views["paper"].get(f"{name} {share}") for share in shares]
        return (
            f"the paper: {name.removesuffix(' of')}",
            *("" if figure is None else f"{figure:.2f}" for figure in figures),
            "",
        )

    forms = ("sample-wise", "class-wise", "clean part of")
    ours = [row(form.removesuffix(" of"), views, form) for form in forms]
    ours.insert(2, row("class-wise, crafted without views", without, "class-wise"))
    return ("`percentages`, CIFAR-10, final", *shares, alone), [*ours, *map(theirs, forms)]


def adversarial_training(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    record = read("paper/adversarial-training-cifar10-4k.json")
    levels = ("clean", "8/255", "16/255", "24/255")
    labels = [f"adversarial-training-8 on {level}" for level in levels]
    theirs = [f"{record['paper'][label]:.0f}" if label in record["paper"] else "" for label in labels]
    ours = [cell(record, label) for label in labels]
    rows = [("class-wise noise of", *ours), ("the paper", *theirs)]
    return ("`adversarial-training`, CIFAR-10, trained at 8/255, final / peak", *levels), rows


def classes(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The share that is recognised of the protected classes and of the others, by a clean and by a protected victim."""
    record = read("paper/classes-cifar10-4k.json")
    clean = summarised(record["runs"]["clean"]).recall
    rows = []
    for form in ("class-wise", "sample-wise"):
        for what, chosen in (("one class", ONE), ("four classes", SEVERAL)):
            recall = summarised(record["runs"][f"{form}, {len(chosen)} protected"]).recall
            rest = [k for k in range(len(clean)) if k not in chosen]
            shares = [fmean(of[k] for k in some) for some in (chosen, rest) for of in (clean, recall)]
            rows.append((f"{form}, {what}", *map(percent, shares)))
    heading = ("of the protected, clean", "protected", "of the others, clean", "protected")
    return ("`classes`, CIFAR-10, 30 epochs, without views", *heading), rows


def faces(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Who is recognised, and how well pairs are told apart."""
    record = read("paper/faces-lfw20-130.json")
    rows = []
    for name, runs in record["runs"].items():
        groups = [runs[0]["verification"][people] for people in ("protected", "others", "everybody")]
        recognised = [percent(group["recognised"]) for group in groups[:2]]
        rows.append((name, cell(record, name), *recognised, *(f"{group['auc']:.3f}" for group in groups)))
    heading = ("all, final / peak", "the 20 recognised", "the 42", "AUC, pairs of the 20", "of the 42", "of all")
    return ("`faces`, trained on", *heading), rows


def transfer(read: Read) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Accuracies; and where some classes are protected, the share that is recognised of them and of the others."""
    record = read("paper/transfer-cifar10-4k.json")
    first = "resnet9"

    def known(label: str, chosen: Sequence[int]) -> str:
        recall = summarised(record["runs"][label]).recall
        rest = [value for k, value in enumerate(recall) if k not in chosen]
        return f"{percent(fmean(recall[k] for k in chosen))} / {percent(fmean(rest))}"

    guests = [GUEST.format(which) for which in ("clean", "sample-wise protected")]
    ship = [len(record["runs"][guests[0]][0]["confusion"]) - 1]
    rows: list[Sequence[str]] = []
    for network, words in ((first, "ResNet-9"), ("inception-resnet-small", "small Inception-ResNet")):
        rows.append((f"clean, {words}", cell(record, f"clean, {network}"), "", "94.95" if network == first else ""))
        theirs = '"around 10 %"' if network == first else ""
        rows.append((f"class-wise noise of CIFAR-100, {words}", cell(record, f"{WHOLE}, {network}"), "", theirs))
    rows.append(("clean, of four classes", "", known(f"clean, {first}", FOUR), ""))
    rows.append(("the same noise on these four", cell(record, FOUR_OF_OTHER), known(FOUR_OF_OTHER, FOUR), "Figure 3c"))
    rows.append(("clean ships among CIFAR-100's images", cell(record, guests[0]), known(guests[0], ship), ""))
    rows.append(("sample-wise protected ships there", cell(record, guests[1]), known(guests[1], ship), "Figure 3a"))
    heading = ("final / peak", "recognised of the protected / of the others", "the paper")
    return ("`transfer`, CIFAR-10, 20 epochs, `--views crop,flip`", *heading), rows


PAPER_TABLES = {
    "adversarial-training": adversarial_training, "augmentations": augmentations, "backdoor": backdoor,
    "classes": classes,
    "datasets": datasets, "faces": faces, "mixtures": mixtures, "noise-types": noise_types, "orderings": orderings,
    "patches": patches, "percentages": percentages, "transfer": transfer,
}  # fmt: skip
