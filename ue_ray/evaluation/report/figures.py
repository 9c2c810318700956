"""What victims reached, drawn: learning curves, confusion matrices, ROC curves; and how their results were made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ue_ray.evaluation.measures import (
    VERIFICATION_HEADING,
    Runs,
    mean_curve,
    mean_roc,
    summed_confusion,
    verification_rows,
    verified_groups,
)
from ue_ray.evaluation.report.html import (
    Axis,
    Html,
    Line,
    caption,
    confusion_matrix,
    element,
    facts,
    folded,
    line_chart,
    section,
    table,
)

Tones = Mapping[str, str]  # by the names of runs: a colour, as Line has it


def learning_curves(
    title: str, runs: Runs, tones: Tones, accuracy: str, chance: float | None = None, ringed: Collection[str] = ()
) -> Html:
    """``accuracy`` by epoch: a line for each name, a thin one for each of several seeds. The best epoch of every run of
    the names in ``ringed`` is marked."""
    lines = []
    for name, of in runs.items():
        if mean := mean_curve(of, "test_accuracy"):
            seeds = [mean_curve([run], "test_accuracy") for run in of] if len(of) > 1 else []
            rings = [(run["peak_epoch"], run["peak_test_accuracy"]) for run in of] if name in ringed else []
            lines.append(Line(name, mean, tones[name], seeds, rings))
    across = _epochs(max((int(line.points[-1][0]) for line in lines), default=1))
    guessed = None if chance is None else ((across.first, chance), (across.last, chance))
    return line_chart(title, lines, across, accuracy, guessed)


def _epochs(last: int) -> Axis:
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last <= 8 * step), last)
    ticks = sorted({1, *range(step, last + 1, step)})
    return Axis("epoch", 1, max(2, last), {epoch: str(epoch) for epoch in ticks})


def confusion_section(groups: Mapping[str, Runs], class_names: Sequence[str]) -> Html:
    """``groups``: by the title under which the matrices of some runs are folded away; nothing where none were kept."""
    matrices = {title: _matrices(runs, class_names) for title, runs in groups.items()}
    shown = [folded(f"{title} ({len(of)})", *of) for title, of in matrices.items() if of]
    words = (
        "A row for each true class, a column for what its test images were taken for: counts, of several seeds "
        "together, shaded by the share of the row."
    )
    return section("Confusion matrices", *shown, caption(words)) if shown else Html()


def _matrices(runs: Runs, class_names: Sequence[str]) -> list[Html]:
    summed = {name: summed_confusion(of) for name, of in runs.items()}
    return [confusion_matrix(counts, class_names, name) for name, counts in summed.items() if counts]


def verification_section(groups: Mapping[str, tuple[Runs, Tones]]) -> Html:
    """ROC curves, a chart for each group of people, and their figures; nothing where no pairs were verified.
    ``groups``: by a title, which may be empty."""
    parts = []
    for title, (runs, tones) in groups.items():
        if people := verified_groups(runs):
            parts += [_roc_chart(f"{title}, {group}" if title else group, runs, tones, group) for group in people]
            parts.append(table(VERIFICATION_HEADING, verification_rows(runs)))
    words = (
        "Do two test images show the same person? Judged by the cosine similarity of the victim's features. The dashed "
        "line is chance. AUC is the area under the curve; the share verified has the standard deviation over ten "
        "folds, the threshold of each chosen on the nine others. Recognised is the mean over people."
    )
    return section("Verification", *parts, caption(words)) if parts else Html()


def _roc_chart(title: str, runs: Runs, tones: Tones, group: str) -> Html:
    lines = []
    for name, of in runs.items():
        found = [run["verification"][group]["roc"] for run in of if group in run.get("verification", {})]
        if found:
            lines.append(Line(name, mean_roc(found), tones[name], found if len(found) > 1 else ()))
    across = Axis("false positive rate, %", 0, 1, {share / 100: str(share) for share in range(0, 101, 20)})
    return line_chart(title, lines, across, "true positive rate", ((0, 0), (1, 1)))


def origin_section(results: Mapping[str, Any], **known: Iterable[str | None]) -> Html:
    """How ``results`` were made; ``known``: what else is to be said of it, first."""
    machine, versions = results["machine"], results["versions"]
    made = {
        **known,
        "took": [f"{results['seconds']:,.0f} seconds"],
        "machine": [machine["cpu"], f"{machine['cores']} cores", f"{machine['memory_gib']:.0f} GiB"],
        "GPUs": machine["gpus"],
        "versions": [f"{name} {version}" for name, version in versions.items()],
    }
    return section("How this was made", facts(made), element("pre", results["command"]))
