"""What came of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ue_ray.experiments.base import DOES_NOT, Scale, answer_of


@dataclass(frozen=True)
class Reproduction:
    """The outcome of ``reproduce``. ``results``: all of it, as in results.json; ``text``: the report in Markdown;
    ``report``: the URI of the HTML report.

    Example:
        >>> import ue_ray
        >>> outcome = ue_ray.reproduce("noise-types", "out", epochs=5)  # doctest: +SKIP
        >>> outcome.missed  # doctest: +SKIP
        []
    """

    results: dict[str, Any]
    text: str
    report: str

    @property
    def runs(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """The entries of the victims, one for each seed, by the labels of the experiment's arms."""
        return dict(self.results["runs"])

    @property
    def claims(self) -> list[dict[str, Any]]:
        """The orderings that the paper states: ``text``, with the figures found here, and the ``answer``."""
        return list(self.results["claims"])

    @property
    def missed(self) -> list[str]:
        """The texts of the claims that do not show; those within the spread of the seeds are not among them."""
        return [claim["text"] for claim in self.claims if answer_of(claim) == DOES_NOT]

    def __str__(self) -> str:
        return f"{self.text}\nreport: {self.report}"


def circumstances(results: Mapping[str, Any], scale: Scale) -> str:
    """Returns a sentence on what the results were made with: data, networks, seeds, time, machine and versions."""
    config, images = results["config"], results["images"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"{images['train']:,} training and {images['test']:,} test images of {config['data']}; {scale.epochs} epochs "
        f"of {scale.victim}, surrogate {scale.surrogate}; seeds {config['seeds']}; {results['seconds']:.0f} seconds, "
        f"without what was kept from earlier; the victims trained for {results['victim_seconds']:.0f} in all; "
        f"{results['machine']['cores']} cores of {results['machine']['cpu']}; {versions}."
    )
