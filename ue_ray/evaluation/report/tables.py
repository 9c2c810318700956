"""What tables and lists of facts hold: confusion matrices, the data, how results were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ue_ray.evaluation.measures import Runs, levels, summed_confusion
from ue_ray.evaluation.report.pictures import picture

MOST_CELLS = 20  # classes whose confusion matrix is a table; of more it is an image
STRONG = 0.7  # a share from which its shade is too dark for the ink of the page
FULL_SHADE = np.array([35, 101, 159])  # the style sheet's --clean, by day

Facts = Mapping[str, Iterable[str | None]]  # values by name, None where unknown

CHANGES = {"max_abs_delta": "largest change", "mean_abs_delta": "mean change"}
TWINS = {"aligned": "with a clean twin", "missing": "clean images without a protected twin"}


def confusion_matrix(counts: Sequence[Sequence[int]], class_names: Sequence[str], title: str) -> dict[str, Any]:
    """``counts`` [K, K]: rows are the true classes, columns what their images were taken for; shaded by the share of
    the row. Classes are numbered where ``class_names`` are not those of the matrix."""
    shares = np.array(counts) / np.maximum(1, np.sum(counts, axis=1, keepdims=True))
    if len(counts) > MOST_CELLS:
        colours = (255 + shares[..., None] * (FULL_SHADE - 255)).round().astype(np.uint8)
        return {"title": title, "picture": picture(colours, f"{title}, confusion matrix")}
    names = list(class_names) if len(class_names) == len(counts) else [str(k) for k in range(len(counts))]
    rows = [
        (name, [(count, f"{100 * share:.0f}", share > STRONG) for count, share in zip(*row, strict=True)])
        for name, *row in zip(names, counts, shares.tolist(), strict=True)
    ]
    return {"title": title, "class_names": names, "rows": rows}


def confusion_matrices(groups: Mapping[str, Runs], class_names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """By the titles of ``groups``: the matrices, summed over seeds, of those runs that kept one."""
    summed = {title: {name: summed_confusion(seeds) for name, seeds in runs.items()} for title, runs in groups.items()}
    return {
        title: [confusion_matrix(counts, class_names, name) for name, counts in matrices.items() if counts]
        for title, matrices in summed.items()
        if any(matrices.values())
    }


def data_facts(data: Mapping[str, Any]) -> Facts:
    """``data``: as in results.json."""
    clean, protected, test, control = data["clean"], data["protected"], data["test"], data.get("control") or {}
    known = {key: value for key, value in protected.items() if value is not None}
    return {
        "clean": [clean["uri"], f"{clean['images']:,} images", f"{clean['classes']} classes"],
        "protected": [
            protected["uri"],
            f"{protected['images']:,} images",
            *(known.get(key) for key in ("method", "granularity", "norm")),
            _epsilon(protected),
            *(f"{words} {levels(known[key])}" for key, words in CHANGES.items() if key in known),
            *(f"{known[key]:,} {words}" for key, words in TWINS.items() if key in known),
        ],
        "control": [control.get("noise"), control.get("granularity"), _epsilon(control)],
        "test": [test["uri"], f"{test['images']:,} images"],
    }


def _epsilon(noise: Mapping[str, Any]) -> str | None:
    epsilon = noise.get("epsilon")
    norm = noise.get("norm", "linf")
    if epsilon is None or norm == "unbounded":
        return None
    return {"linf": f"epsilon {levels(epsilon)}", "l0": f"pixels {epsilon:g}"}.get(norm, f"epsilon {epsilon:.3g}")


def origin_facts(results: Mapping[str, Any], **more: Iterable[str | None]) -> Facts:
    """How ``results`` were made; ``more`` comes first."""
    machine = results["machine"]
    return {
        **more,
        "took": [f"{results['seconds']:,.0f} seconds"],
        "machine": [machine["cpu"], f"{machine['cores']} cores", f"{machine['memory_gib']:.0f} GiB"],
        "GPUs": machine["gpus"],
        "versions": [f"{name} {version}" for name, version in results["versions"].items()],
    }
