"""What came of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ue_ray.errors import choose
from ue_ray.evaluation.report.console import console_table, headline


@dataclass(frozen=True)
class Evaluation:
    """The outcome of ``evaluate``. ``results``: all of it, as in results.json; ``report``: the URI of the HTML report.

    ``str(evaluation)`` is the table that ``ue-ray evaluate`` prints.

    Example:
        >>> import ue_ray
        >>> evaluation = ue_ray.evaluate("mnist5k", "protected", "mnist5k-test", "report")  # doctest: +SKIP
        >>> evaluation.accuracy("resnet18", "clean") > evaluation.accuracy("resnet18", "protected")  # doctest: +SKIP
        True
    """

    results: dict[str, Any]
    report: str

    @property
    def runs(self) -> list[dict[str, Any]]:
        """An entry for each victim: what it was trained on, its accuracies in [0, 1], its learning curve."""
        return list(self.results["runs"])

    @property
    def guards(self) -> list[dict[str, str]]:
        """Objections to the claim that the protection holds: name, level (warning or note) and message of each."""
        return list(self.results["guards"])

    def accuracy(self, victim: str, train_set: str, countermeasure: str = "none") -> float:
        """Returns the final clean test accuracy in [0, 1], the mean over seeds.

        ``train_set``: clean, control or protected. Raises UserError for a victim that was not trained.
        """
        runs = self.runs
        asked = {"victim": victim, "train_set": train_set, "countermeasure": countermeasure}
        for name, value in asked.items():
            choose(value, list(dict.fromkeys(run[name] for run in runs)), name.replace("_", " "))
            runs = [run for run in runs if run[name] == value]
        return fmean(run["final_test_accuracy"] for run in runs)

    def __str__(self) -> str:
        return f"{console_table(self.results)}\n{headline(self.results)}\nreport: {self.report}"
