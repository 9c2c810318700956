"""Facts about results, by name: which data they are of, and how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ue_ray.evaluation.measures import levels

Facts = dict[str, list[str]]

CHANGES = {"max_abs_delta": "largest change", "mean_abs_delta": "mean change"}
TWINS = {"aligned": "with a clean twin", "missing": "clean images without a protected twin"}


def facts(values_of: Mapping[str, Iterable[str | None]]) -> Facts:
    """Leaves out what is unknown (None or empty), and names of which nothing is known."""
    known = {name: [value for value in values if value] for name, values in values_of.items()}
    return {name: values for name, values in known.items() if values}


def data_facts(data: Mapping[str, Any]) -> Facts:
    """``data``: as in results.json."""
    clean, protected, test, control = data["clean"], data["protected"], data["test"], data.get("control") or {}
    known = {key for key, value in protected.items() if value is not None}
    return facts(
        {
            "clean": [clean["uri"], f"{clean['images']:,} images", f"{clean['classes']} classes"],
            "protected": [
                protected["uri"],
                f"{protected['images']:,} images",
                *(protected.get(key) for key in ("method", "granularity", "norm")),
                _epsilon(protected),
                *(f"{words} {levels(protected[key])}" for key, words in CHANGES.items() if key in known),
                *(f"{protected[key]:,} {words}" for key, words in TWINS.items() if key in known),
            ],
            "control": [control.get("noise"), control.get("granularity"), _epsilon(control)],
            "test": [test["uri"], f"{test['images']:,} images"],
        }
    )


def _epsilon(noise: Mapping[str, Any]) -> str | None:
    epsilon = noise.get("epsilon")
    if epsilon is None:
        return None
    return f"epsilon {levels(epsilon)}" if noise.get("norm", "linf") == "linf" else f"epsilon {epsilon:.3g}"


def origin_facts(results: Mapping[str, Any], **more: Iterable[str | None]) -> Facts:
    """How ``results`` were made; ``more`` comes first."""
    machine = results["machine"]
    return facts(
        {
            **more,
            "took": [f"{results['seconds']:,.0f} seconds"],
            "machine": [machine["cpu"], f"{machine['cores']} cores", f"{machine['memory_gib']:.0f} GiB"],
            "GPUs": machine["gpus"],
            "versions": [f"{name} {version}" for name, version in results["versions"].items()],
        }
    )
