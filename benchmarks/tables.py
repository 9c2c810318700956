"""Writes the tables of the documents from the records, so that no figure in them is typed by hand.

    python benchmarks/tables.py

A table stands between ``<!-- benchmarks/tables.py NAME -->`` and ``<!-- end -->``; NAME is one of TABLES. A test holds
the documents against the records.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.paper_tables import PAPER_TABLES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- benchmarks/tables\.py (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

SETS = {  # of benchmarks/dependability.py: what it is called
    "cifar10": "all 50,000 of CIFAR-10",
    "cifar10-5k": "5,000 of CIFAR-10",
    "cifar100-4": "5,000 of CIFAR-100, ten classes",
    "cifar100-8": "5,000 of CIFAR-100, ten other classes",
    "digits": "4,000 digits (the demo, `--cells 2`)",
}
VICTIM = {"cifar10": "resnet9-wide"}  # else resnet9
NOISES = {
    "clean": "clean",
    "default": "default, 8/255",
    "photos-mid": "`--preset photos`, 12/255",
    "brightness-16": "`--tint brightness`, 16/255",
}
HANDLINGS = {
    "none": "",
    "half-jpeg-75": "; half the size, JPEG 75",
    "grayscale": "; grayscale",
    "jpeg-30": "; JPEG 30",
    "screenshot": "; 0.8 of the size, sharpened, JPEG 80",
}


def read(name: str) -> Any:
    return json.loads((RESULTS / name).read_text())


def markdown(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def dependability() -> str:
    """The default method class by class: a row a data set, from the CPU's record where it has one."""
    found = {
        (each["data"], each["noise"], each["victim"], each.get("epochs", 12)): each
        for record in ("gpu/dependability.json", "dependability.json")
        for each in read(record)
        if each.get("countermeasure", "none") == "none"
    }

    def line(data: str, what: str) -> Iterator[str]:
        victim = VICTIM.get(data, "resnet9")
        clean = found[data, "clean", victim, 12]
        yield what
        yield f"{fmean(clean['final']):.1f} %"
        for form in ("class-wise", "sample-wise"):
            made = found.get((data, f"gratings, {form}", victim, 12))
            if made is None:
                yield from ("", "", "")
                continue
            yield f"**{fmean(made['final']):.1f}**, {max(made['final']):.1f} %"
            yield f"{fmean(made['peak']):.1f}, {max(made['peak']):.1f} %"
            yield f"{max(map(max, made['informedness'])):.2f}"

    heading = ("training images", "clean")
    for form in ("class-wise", "sample-wise"):
        heading += (f"{form}: final", "peak", "class recognised most")
    return markdown(heading, [tuple(line(data, what)) for data, what in SETS.items()])


def people(handlings: Collection[str] = HANDLINGS) -> str:
    """Eight people among 62: a row a noise and what then happened to all photos."""

    def key(record: dict[str, Any]) -> tuple[int, int]:
        return list(HANDLINGS).index(record["handling"]), list(NOISES).index(record["noise"])

    records = [each for each in read("people.json") if each["noise"] in NOISES and each["handling"] in handlings]
    rows = []
    for _, group in groupby(sorted(records, key=key), key=key):
        runs = list(group)
        known = [100 * run["recognised"] for run in runs]
        rows.append(
            (
                NOISES[runs[0]["noise"]] + HANDLINGS[runs[0]["handling"]],
                str(len(runs)),
                f"{fmean(known):.1f}, {stdev(known) if len(known) > 1 else 0:.1f}, {max(known):.1f}",
                f"{max(run['most_informedness'] for run in runs):.2f}",
                f"{100 * fmean(run['others'] for run in runs):.1f}",
            )
        )
    heading = (
        "photos of the eight, then what happened to all", "n", "the eight recognised: mean, sd, worst",
        "most informedness of one of them", "the other 54 recognised",
    )  # fmt: skip
    return markdown(heading, rows)


def paper() -> str:
    """The paper's method at the paper's size, on a GPU."""
    rows = []
    for name, what, theirs in (
        ("clean", "clean", "94.95"),
        ("random", "random noise", ""),
        ("class-wise", "class-wise", "16.42"),
        ("class-wise-seed-1", "class-wise, another seed", "16.42"),
        ("sample-wise", "sample-wise", "19.93"),
    ):
        run = read(f"gpu/table-1-{name}.json")
        accuracies = (f"{100 * run[f'{kind}_test_accuracy']:.1f}" for kind in ("final", "peak"))
        rows.append((what, *accuracies, str(run["epochs_done"]), theirs))
    return markdown(("all 50,000 of CIFAR-10, ResNet-18", "final", "peak", "epochs", "the paper"), rows)


def survival() -> str:
    """Countermeasures against each recipe of benchmarks/survival.py."""
    record = read("survival/results.json")
    names = {
        "clean": "clean images", "photos-low": "photos low, 8/255", "photos-mid": "photos mid, 12/255",
        "photos-high": "photos high, 16/255", "brightness-16": "`--tint brightness`, 16/255",
    }  # fmt: skip
    measures = record["options"]["countermeasures"].split(",")
    rows = []
    for recipe, what in names.items():
        cells, worst = [], 0.0
        for measure in measures:
            runs = [run for run in record["runs"] if (run["train_set"], run["countermeasure"]) == (recipe, measure)]
            final, peak = (100 * fmean(run[f"{kind}_test_accuracy"] for run in runs) for kind in ("final", "peak"))
            worst = max(worst, final)
            cells.append(f"{final:.1f} / {peak:.1f}")
        rows.append((what, *cells, "" if recipe == "clean" else f"{worst:.1f}"))
    return markdown(("noise", *measures, "worst final"), rows)


def collections() -> str:
    """Large collections end to end, a column each."""
    record = read("large-collections.json")
    titles = {"webface": "like WebFace: one `.rec`, 112x112", "imagenet": "like ImageNet: tars, about 400x350"}
    shapes = [record[name] for name in titles if name in record]

    def gib(value: float) -> str:
        return f"{value / 1024:.1f} GiB"

    def protected(run: dict[str, Any]) -> str:
        return next(line for line in run["said"] if line.startswith("committed: ")).removeprefix("committed: ")

    def faults(shape: dict[str, Any]) -> str:
        lines = [line for name in ("whole", "resumed") for line in shape[f"{name}_verified"]["said"]]
        return f"{sum(': no fault' in line for line in lines)} of 2 outputs without a fault"

    rows: dict[str, Callable[[dict[str, Any]], str]] = {
        "images, classes": lambda s: f"{s['listing']['images']:,}, {s['listing']['classes']:,}",
        "bytes": lambda s: f"{s['bytes'] / 1e9:.1f} GB",
        "listed in": lambda s: f"{s['listing']['seconds']} s",
        "images/s: bare loop; `ue-ray protect` with its start; seconds": lambda s: (
            f"{s['bare_images_per_second']:,.0f}; {s['whole']['images_per_second']:,.0f}; {s['whole']['seconds']:,.0f}"
        ),
        "killed after; then resumed in": lambda s: f"{s['killed']['seconds']:,.0f} s; {s['resumed']['seconds']:,.0f} s",
        "the resumed run": lambda s: protected(s["resumed"]),
        "`ue-ray verify --input`": faults,
        "bytes sent by the store, by those of the input: to list; in all": lambda s: (
            f"{s['listing']['sent_to_input']}; {s['whole']['sent_to_input']}"
        ),
        "largest memory: driver; a worker; the listing": lambda s: "; ".join(
            gib(s["whole"]["peak_mib"][name]) for name in ("driver", "ray::MapWorker", "ray::list")
        ),
        "the noise's check of itself": lambda s: next(
            line.removeprefix("check: ") for line in s["whole"]["said"] if line.startswith("check: ")
        ),
    }
    heading = ("", *(title for name, title in titles.items() if name in record))
    return markdown(heading, [(what, *map(cell, shapes)) for what, cell in rows.items()])


def of_paper(name: str) -> str:
    return markdown(*PAPER_TABLES[name](read))


TABLES: dict[str, Callable[[], str]] = {
    "dependability": dependability, "people": people, "people-briefly": partial(people, ("none", "half-jpeg-75")),
    "paper": paper, "survival": survival, "collections": collections,
    **{name: partial(of_paper, name) for name in PAPER_TABLES},
}  # fmt: skip


def drawn(text: str) -> str:
    """Returns a document with its tables drawn anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{TABLES[block[2]]()}{block[3]}", text)


def documents() -> list[Path]:
    """Those with tables to draw."""
    pages = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    return [page for page in pages if BLOCK.search(page.read_text())]


def main() -> None:
    for path in documents():
        path.write_text(drawn(path.read_text()))
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
