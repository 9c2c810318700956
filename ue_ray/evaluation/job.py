"""What an evaluation is asked to do, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from ue_ray.evaluation.options import EvaluateOptions, read_options
from ue_ray.evaluation.runs import VictimRuns
from ue_ray.noise.budget import Budget
from ue_ray.protection.partial import Partial
from ue_ray.storage.filesystem import absolute
from ue_ray.storage.inputs.open_source import BUILTINS, Source, glance, keep_apart, open_source
from ue_ray.storage.inputs.options import BY_NAME, OF_BUILTINS, SELECTING
from ue_ray.storage.outputs.output import Output


@dataclass(frozen=True)
class Job:
    """What is asked for, checked as far as it can be without listing the inputs.

    ``uris`` and ``sources``: of clean, protected and test. ``budget``: of the protection; None where it is neither
    given nor in a manifest. ``noise``: what a manifest says of the noise.
    """

    uris: Mapping[str, str]
    output: str
    sources: Mapping[str, Source]
    store: VictimRuns
    options: EvaluateOptions
    budget: Budget | None
    noise: Mapping[str, Any]


def resolve(uris: Mapping[str, str], output: str, given: Mapping[str, Any]) -> Job:
    """Reads the options and opens the inputs. Raises UserError for a mistake."""
    options = read_options(EvaluateOptions, given)
    keep_apart(output, uris)
    keywords = {"clean": options.source, "protected": options.protected_source, "test": options.test_source}
    by_name = any(uri in BUILTINS for uri in uris.values())  # then the other places have no use for those options
    for role, uri in uris.items():
        if by_name and uri not in BUILTINS:
            keywords[role] = {name: value for name, value in keywords[role].items() if name not in BY_NAME}
    sources = {role: _open(uri, keywords[role]) for role, uri in uris.items()}
    for source in sources.values():
        glance(source)
    budget, noise = _protection(uris["protected"], options.epsilon)
    return Job(uris, output, sources, VictimRuns(absolute(output)), options, budget, noise)


def _open(uri: str, keywords: Mapping[str, Any]) -> Source:
    """Opens an input. What has labels and columns of its own gets no keywords for them."""

    def only(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: value for name, value in keywords.items() if name in names}

    if uri in BUILTINS:
        return open_source(uri, **only(OF_BUILTINS))
    with suppress(OSError):  # open_source says what is wrong with the place
        if is_output(uri):
            return open_source(uri, **only(SELECTING))
    return open_source(uri, **keywords)


def _protection(uri: str, epsilon: float | None) -> tuple[Budget | None, dict[str, Any]]:
    """Returns the budget, and what the manifest says of the noise and of the classes that have it (None: all); None
    for each where there is no manifest."""
    noise: dict[str, Any] = dict.fromkeys(("method", "granularity", "epsilon", "norm", "only"))
    budget = Budget(epsilon) if epsilon is not None else None
    if is_output(uri):
        manifest = Output(absolute(uri)).manifest()
        recorded, partial = manifest["noise"], Partial.of(manifest)
        own = Budget(**recorded["budget"])
        noise = {"method": recorded["method"], "granularity": recorded["granularity"], **asdict(own)}
        noise["only"] = list(partial.only) if partial else None
        budget = Budget(budget.epsilon, own.norm) if budget else own
    return budget, noise


def is_output(uri: str) -> bool:
    """Returns whether a committed output lies at ``uri``. Raises OSError for a place that cannot be read."""
    return uri not in BUILTINS and Output(absolute(uri)).is_committed()
