"""The paper's figures beside ours, on one page: drawn from the records in benchmarks/results/paper and results/gpu.

    python benchmarks/paper_page.py [docs/paper.html]

Bars are ours, ticks the paper's, on one axis; a thin line is the range over seeds. All that is on the page is in a
record, or in the paper (its figures are in the records, and Table 1 in ue_ray/experiments/networks.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.paper_tables import RECORDS
from benchmarks.tables import RESULTS, ROOT, read
from ue_ray.evaluation.report.charts import learning_curves, verifications
from ue_ray.evaluation.report.page import TEMPLATES
from ue_ray.evaluation.report.tables import confusion_matrices
from ue_ray.experiments.base import CLEAN, SHOWS, Experiment, answer_of
from ue_ray.experiments.networks import TABLE_1
from ue_ray.experiments.page import compared, grouped, tones

PAGE = ROOT / "docs" / "paper.html"
THEIRS = {  # what the paper's figures are of, by experiment; else the first
    "": "all 50,000 images of CIFAR-10, ResNet-18, 60 epochs",
    "faces": "WebFace, 10,575 people, Inception-ResNet-v1; noise crafted on 100 people of CelebA",
    "transfer": "noise of ImageNet's classes on CIFAR-10, and one CIFAR-10 class among ImageNet's",
    "datasets": "all 50,000 images of CIFAR-10, four networks, 60 epochs",
    "backdoor": "all 50,000 images of CIFAR-10, ResNet-18; in the figure, by share",
}
ON_GPU = {"clean": "clean", "random": None, "class-wise": "class-wise", "class-wise-seed-1": "class-wise",
          "sample-wise": "sample-wise"}  # fmt: skip
CONFUSED = ("classes", "faces")  # whose confusion matrices the paper shows, or need showing


def bars(runs: Mapping[str, Sequence[Mapping[str, Any]]], paper: Mapping[str, float]) -> list[dict[str, Any]]:
    """A bar for each arm that was trained: final accuracies in per cent, the best epoch's, and the paper's."""
    rows = []
    for label, seeds in runs.items():
        if final := [100 * run["final_test_accuracy"] for run in seeds]:
            peak = [100 * run["peak_test_accuracy"] for run in seeds]
            rows.append(
                {
                    "label": label, "ours": sum(final) / len(final), "low": min(final), "high": max(final),
                    "peak": sum(peak) / len(peak), "theirs": paper.get(label), "seeds": len(final),
                }
            )  # fmt: skip
    return rows


def section(name: str, what: str) -> dict[str, Any]:
    """A record beside the paper."""
    record = read(f"paper/{name}.json")
    experiment, runs, names = record["experiment"], record["runs"], record.get("class_names", [])
    trained = next(iter(runs.values()))
    of_classes = [sum(row) for row in trained[0]["confusion"]]
    chance = max(of_classes) / sum(of_classes)
    groups = grouped(list(runs), experiment)
    chosen = {title: {label: runs[label] for label in labels} for title, labels in groups.items()}
    answers = [(answer_of(claim), claim["text"]) for claim in record["claims"]]
    return {
        "title": f"{record['figure']}: {experiment}, {what}".replace("`", ""),
        "ours": f"{record['images']['train']:,} images, {trained[0]['victim']}, {trained[0]['epochs']} epochs, "
                f"n = {len(trained)}",
        "theirs": THEIRS.get(experiment, THEIRS[""]),
        "accuracies": record.get("accuracies", Experiment.accuracies),
        "bars": bars(runs, record["paper"]),
        "answers": answers,
        "shown": sum(answer == SHOWS for answer, _ in answers),
        "curves": [
            learning_curves(title, {k: runs[k] for k in labels}, tones(labels), "clean test accuracy", chance)
            for title, labels in compared(groups, runs).items()
        ],
        "confusion": confusion_matrices(chosen, names) if experiment in CONFUSED else {},
        "verifications": verifications({title: (some, tones(some)) for title, some in chosen.items()}),
        "command": record["command"],
    }  # fmt: skip


def on_gpu() -> dict[str, Any]:
    """Table 1 at the paper's size, as far as it was trained."""
    records = {
        name: read(f"gpu/table-1-{name}.json") for name in ON_GPU if (RESULTS / f"gpu/table-1-{name}.json").exists()
    }
    runs = {record["train_set"]: [record] for record in records.values()}
    paper = {
        records[name]["train_set"]: TABLE_1[row]["resnet18"] for name, row in ON_GPU.items() if row and name in records
    }
    clean = records[CLEAN]
    epochs = [record["epochs_done"] for record in records.values()]
    confused = {name: seeds for name, seeds in runs.items() if "confusion" in seeds[0]}
    return {
        "title": "Table 1: at the paper's size, on an H100",
        "ours": f"{clean['images']:,} images, {clean['victim']}, {min(epochs)} to {max(epochs)} of 60 epochs, n = 1",
        "theirs": THEIRS[""], "accuracies": Experiment.accuracies, "bars": bars(runs, paper), "answers": [], "shown": 0,
        "curves": [learning_curves("Table 1", runs, tones(runs), "clean test accuracy", 0.1)],
        "confusion": confusion_matrices({"Table 1": confused}, []), "verifications": [], "command": clean["command"],
    }  # fmt: skip


def page() -> str:
    """The whole document. It refers to nothing outside itself and runs no script."""
    sections = [on_gpu(), *(section(name, what) for name, what in RECORDS.items())]
    loader = ChoiceLoader([FileSystemLoader(Path(__file__).parent), TEMPLATES.loader])
    template = TEMPLATES.overlay(loader=loader).get_template("paper_page.html.jinja")
    claims = [answer for each in sections for answer, _ in each["answers"]]
    return template.render(
        kind="The paper, reproduced",
        heading=f"{claims.count(SHOWS)} of {len(claims)} orderings that the paper states show in these records.",
        sections=sections,
    )


def main() -> None:
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    place.write_text(page())
    print(place)


if __name__ == "__main__":
    main()
