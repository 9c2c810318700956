"""Every speed benchmark, one after the other, and one table of what they found.

    python benchmarks/all.py --data data/ --output out/benchmarks

``data/`` holds train.parquet and test.parquet. What has a result in the output folder is not measured again, so that
``python benchmarks/all.py --output benchmarks/results`` prints the recorded figures. On two cores all of them take more
than an hour; nothing else should run meanwhile.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))

Row = tuple[str, str, str]  # what, how much, over what


@dataclass(frozen=True)
class All:
    """Where the images are, and where the results go."""

    output: str
    data: str | None = None
    """Needed for what is still to be measured."""


def craft(found: dict[str, Any]) -> Iterator[Row]:
    for row in found["rows"]:
        for name, ratios in row["ratios"].items():
            yield f"{row['noise']}: {name}", f"{statistics.median(ratios):.2f}", _of(ratios, 2)


def time_to_noise(found: dict[str, Any]) -> Iterator[Row]:
    ways = dict(found["ways"])
    clean = ways.pop("clean")
    for way, entry in ways.items():
        faster = ways["reference"]["seconds"] / entry["seconds"]
        reached = (
            f"victim {100 * entry['final_test_accuracy']:.1f} / {100 * entry['peak_test_accuracy']:.1f} %, "
            f"clean {100 * clean['final_test_accuracy']:.1f} / {100 * clean['peak_test_accuracy']:.1f} %"
        )
        yield f"seconds to a noise: {way}", f"{entry['seconds']:.1f} ({faster:.1f} x)", f"{reached}; n = {found['n']}"


def delta_exchange(found: dict[str, Any]) -> Iterator[Row]:
    for table, entry in found["milliseconds"].items():
        took = entry[entry["default"]]
        low, high = took["quartiles"]
        yield (
            f"delta exchange, {table}, {entry['default']}",
            f"{took['median']:.1f} ms, {100 * entry['share']:.1f} % of it and a step",
            f"quartiles {low:.1f} to {high:.1f}, {found['batches']} batches",
        )


def apply(found: dict[str, Any]) -> Iterator[Row]:
    for name, run in found["runs"].items():
        rates = run["images_per_second"]["apply"]
        share = 100 * run["share_of_rate"]["plain"]
        yield f"apply, {name}", f"{max(rates):.0f} images/s, {share:.0f} % of the plain loop", _of(rates, 0)


def end_to_end(found: dict[str, Any]) -> Iterator[Row]:
    names = {
        "ray_to_bare": "the whole command to the bare loop, without start-up",
        "one_core_to_two_workers": "two workers on two cores to one on one",
    }
    for key, name in names.items():
        if key in found:
            yield name, f"{found[key]['median']:.2f}", _spread(found[key])
    for way, took in found["start_up"].items():
        yield f"start-up, {way}", f"{took['median']:.0f} s", _spread(took)
    for way in ("ray", "bare"):
        if victims := found.get("victims_per_hour", {}).get(way):
            yield f"victims an hour, {way}", f"{victims['median']:.0f}", _spread(victims)


def _of(values: list[float], digits: int) -> str:
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}, n = {len(values)}"


def _spread(found: dict[str, Any]) -> str:
    return f"{found['min']:.2f} to {found['max']:.2f}, n = {found['n']}"


BENCHMARKS: dict[str, tuple[Callable[[dict[str, Any]], Iterator[Row]], list[str]]] = {
    "craft": (craft, ["--images", "128", "--batch-size", "64", "--repeats", "2", "--pgd-steps", "5"]),
    "time-to-noise": (time_to_noise, ["--data", "{data}"]),
    "delta-exchange": (delta_exchange, []),
    "apply": (apply, ["--data", "{data}/test.parquet"]),
    "end-to-end": (
        end_to_end,
        ["--data", "{data}/train.parquet", "--test", "{data}/test.parquet", "--work", "{output}/work", "--rounds", "3"],
    ),
}


def main(options: All) -> None:
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    device = "gpu" if torch.cuda.is_available() else "cpu"
    for name, (rows, arguments) in BENCHMARKS.items():
        place = output / f"{name}-{device}.json"
        if not place.exists():
            if options.data is None:
                print(f"{name}: not measured; give --data")
                continue
            filled = [part.format(data=options.data, output=output) for part in arguments]
            script = Path(__file__).with_name(f"{name.replace('-', '_')}.py")
            subprocess.run([sys.executable, str(script), *filled, "--output", str(place)], check=True)
        found = json.loads(place.read_text())
        machine, versions = found["machine"], found["versions"]
        print(f"\n{name}: {machine['cores']} cores of {machine['cpu']}, torch {versions['torch']}")
        for what, much, over in rows(found):
            print(f"  {what:58} {much:38} {over}")


if __name__ == "__main__":
    main(tyro.cli(All, description=__doc__))
