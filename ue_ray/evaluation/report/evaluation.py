"""An evaluation's results -> a table for the terminal, and one HTML page that holds all it shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isinf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ue_ray.evaluation.measures import Estimate, Run, Runs, levels, percent, span
from ue_ray.evaluation.report.figures import confusion_section, learning_curves, origin_section, verification_section
from ue_ray.evaluation.report.html import Html, caption, element, facts, headings, image, page, section, table, wide
from ue_ray.images.quality import WINDOW, psnr, ssim

Results = Mapping[str, Any]

TRAIN_SETS = ("clean", "control", "protected")
_TONES = {name: name for name in TRAIN_SETS}  # colours of the style sheet
CROP = 256  # a larger gallery image shows its middle at full resolution: scaled down, delta would blur away


# --- numbers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SetSummary:
    """All seeds of one victim on one train set; accuracies in [0, 1]."""

    final: Estimate
    peak: Estimate
    train: Estimate
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, runs: Iterable[Run]) -> SetSummary:
        runs = tuple(runs)
        names = ("final_test_accuracy", "peak_test_accuracy", "train_accuracy")
        final, peak, train = (Estimate.of([run[name] for run in runs]) for name in names)
        return cls(final, peak, train, runs)

    @property
    def seeds(self) -> int:
        return len(self.runs)

    @property
    def peak_epochs(self) -> str:
        """``3``, or ``2-5`` where the seeds differ."""
        return span(run["peak_epoch"] for run in self.runs)

    @property
    def seconds(self) -> float:
        """Of all seeds together."""
        return float(sum(run["seconds"] for run in self.runs))


@dataclass(frozen=True)
class SummaryRow:
    """One victim under one countermeasure; ``sets`` by train set, in the order clean, control, protected."""

    victim: str
    countermeasure: str
    sets: Mapping[str, SetSummary]

    @property
    def label(self) -> str:
        return self.victim if self.countermeasure == "none" else f"{self.victim} with {self.countermeasure}"


def summarise(runs: Iterable[Run]) -> list[SummaryRow]:
    """One row per (victim, countermeasure), in the order of their first runs."""
    groups: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in runs:
        sets = groups.setdefault((run["victim"], run["countermeasure"]), {name: [] for name in TRAIN_SETS})
        sets[run["train_set"]].append(run)
    return [
        SummaryRow(victim, countermeasure, {name: SetSummary.of(of) for name, of in sets.items() if of})
        for (victim, countermeasure), sets in groups.items()
    ]


def worst_case(rows: Sequence[SummaryRow]) -> str | None:
    """The countermeasure after which a victim learned most from protected images; None where there was no choice."""
    protected = [row for row in rows if "protected" in row.sets]
    names = {row.countermeasure for row in protected}
    if len(names) < 2:
        return None
    row = max(protected, key=lambda row: row.sets["protected"].final.mean)
    of, clean = row.sets["protected"], row.sets.get("clean")
    beside = f", {percent(clean.final.mean)} % from the clean ones" if clean else ""
    return (
        f"Worst case of {len(names)} countermeasures, {row.countermeasure}: {row.victim} learns "
        f"{percent(of.final.mean)} % (final), {percent(of.peak.mean)} % (peak) from the protected images{beside}."
    )


def _comparison(rows: Sequence[SummaryRow]) -> list[tuple[str, ...]]:
    """A heading, then one line per victim and countermeasure: final / peak in per cent by train set."""
    names = [name for name in TRAIN_SETS if any(name in row.sets for row in rows)]
    lines = [("victim", "countermeasure", *names)]
    for row in rows:
        cells = (f"{of.final} / {of.peak}" if (of := row.sets.get(name)) else "" for name in names)
        lines.append((row.victim, row.countermeasure, *cells))
    return lines


def _chance(results: Results) -> float:
    return 1 / int(results["data"]["clean"]["classes"])


def _chance_percent(results: Results) -> str:
    return f"{100 * _chance(results):.3g}"


# --- terminal ---------------------------------------------------------------------------------------------------------


def console_table(results: Results) -> str:
    """The outcome as aligned plain text, one line per victim and train set; what countermeasures do; the guards."""
    lines = [("victim", "train set", "final %", "peak %", "epoch", "train accuracy %", "seeds", "seconds")]
    rows = summarise(results["runs"])
    for row in rows:
        label = row.label
        for name, of in row.sets.items():
            numbers = (str(of.final), str(of.peak), of.peak_epochs, str(of.train), str(of.seeds), f"{of.seconds:.0f}")
            lines.append((label, name, *numbers))
            label = ""
    title = f"clean test accuracy, final and peak: lower is better protection; chance is {_chance_percent(results)} %"
    parts = [[title], _aligned(lines)]
    if worst := worst_case(rows):
        parts += [_aligned(_comparison(rows)), [worst]]
    parts.append([f"{guard['level']}: {guard['message']}" for guard in results["guards"]])
    return "\n\n".join("\n".join(part) for part in parts if part)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Two columns of words to the left, then numbers to the right."""
    columns = []
    for i, column in enumerate(zip(*lines, strict=True)):
        align, width = str.ljust if i < 2 else str.rjust, max(map(len, column))
        columns.append([align(cell, width) for cell in column])
    return ["  ".join(line) for line in zip(*columns, strict=True)]


# --- page -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GalleryItem:
    """One image before and after protection: uint8 ``[H, W, 3]`` arrays of one shape."""

    sample_id: str
    label: str
    clean: NDArray[np.uint8]
    protected: NDArray[np.uint8]


def html_page(results: Results, gallery: Sequence[GalleryItem]) -> str:
    """The whole report as one HTML document that refers to nothing outside itself."""
    rows, data = summarise(results["runs"]), results["data"]
    sections = (
        _guards(results["guards"]),
        section("Clean test accuracy", _table(rows), _TABLE_CAPTION),
        _countermeasures(rows),
        _curves(rows, results),
        confusion_section({row.label: _runs(row, ("clean", "protected")) for row in rows}, _class_names(results)),
        verification_section({row.label: (_runs(row), _TONES) for row in rows}),
        _gallery(gallery, data["protected"]),
        section("What this does not protect against", _LIMITS),
        section("Data", _data(data)),
        origin_section(results, created=[results["created"]]),
    )
    return page("Protection report", headline(results), *sections)


def headline(results: Results) -> str:
    """State the outcome without a countermeasure, by the victim that learned most; then the best countermeasure."""
    rows = [row for row in summarise(results["runs"]) if "protected" in row.sets]
    if not rows:
        return "No victim was trained on the protected images."
    plain = [row for row in rows if row.countermeasure == "none"] or rows
    best, strongest = (max(some, key=lambda row: row.sets["protected"].final.mean) for some in (plain, rows))
    protected, clean = best.sets["protected"], best.sets.get("clean")
    among = f", the most successful of {len(plain)} victims," if len(plain) > 1 else ""
    baseline = f"{percent(clean.final.mean)} % when trained on the clean ones; " if clean else ""
    sentence = (
        f"Trained on the protected images, {best.label}{among} reaches {percent(protected.final.mean)} % on clean test "
        f"images ({baseline}chance is {_chance_percent(results)} %); "
        f"at its best epoch it reached {percent(protected.peak.mean)} %."
    )
    if strongest is not best:
        reaches = percent(strongest.sets["protected"].final.mean)
        sentence += f" With {strongest.countermeasure}, {strongest.victim} reaches {reaches} %."
    return sentence


_TABLE_CAPTION = Html(
    """<p class="caption">In per cent, on images that carry no noise; after training on protected images, lower is
better protection. <em>Control</em> images carry random noise. <em>Final</em> is the last epoch. <em>Peak</em> is the
best epoch on the test set: about what a taker with a clean validation set gets by early stopping. Seconds are those
of all seeds together.</p>"""
)
_LIMITS = Html(
    """<ul>
<li><b>Partial protection.</b> Protected images add nothing for the images that are not protected. Only a class, or a
person, all of whose images carry the noise is protected.</li>
<li><b>Early stopping.</b> A taker with a clean validation set keeps the peak epoch, not the last one.</li>
<li><b>Undoing the noise.</b> JPEG compression, grayscale and adversarial training undo much of plain error-minimizing
noise.</li>
<li><b>Features.</b> Feature extractors still learn from protected images.</li>
<li><b>Recognisers that exist.</b> A model trained on other images of you still recognises you.</li>
<li><b>Time.</b> What is published can never be revoked, and countermeasures only improve.</li>
</ul>"""
)


def _guards(guards: Iterable[Mapping[str, str]]) -> Html:
    boxes = [
        element("p", element("b", of["level"].capitalize()), " ", of["message"], class_=of["level"]) for of in guards
    ]
    return element("aside", *(boxes or [element("p", "No check objects to these results.")]))


def _table(rows: Iterable[SummaryRow]) -> Html:
    names = ("trained on", "final", "peak", "at epoch", "train accuracy", "seeds", "seconds")
    bodies = []
    for row in rows:
        lines = [element("tr", element("th", row.label, scope="rowgroup", colspan=len(names)))]
        for name, of in row.sets.items():
            numbers = (str(of.final), str(of.peak), of.peak_epochs, str(of.train), str(of.seeds), f"{of.seconds:,.0f}")
            cells = (element("td", number) for number in numbers)
            lines.append(element("tr", element("th", name, scope="row"), *cells, class_=name))
        bodies.append(element("tbody", *lines))
    return wide(element("table", headings(names), *bodies))


def _countermeasures(rows: Sequence[SummaryRow]) -> Html:
    worst = worst_case(rows)
    if worst is None:
        return Html()
    heading, *lines = _comparison(rows)
    words = (
        "Final / peak in per cent. A taker handles all training images so: clean, control and protected alike. Test "
        "images stay as they are, but become gray where the training images did."
    )
    return section("Countermeasures", table(heading, lines), element("p", worst), caption(words))


def _curves(rows: Iterable[SummaryRow], results: Results) -> Html:
    words = (
        f"The dashed line is chance, {_chance_percent(results)} %. Lines are means over seeds, thin ones single seeds. "
        "Rings mark the best epoch of each protected run."
    )
    charts = (
        learning_curves(row.label, _runs(row), _TONES, "clean test accuracy", _chance(results), ("protected",))
        for row in rows
    )
    return section("Learning curves", *charts, caption(words))


def _runs(row: SummaryRow, names: Sequence[str] = TRAIN_SETS) -> Runs:
    """By train set."""
    return {name: row.sets[name].runs for name in names if name in row.sets}


def _class_names(results: Results) -> Sequence[str]:
    names: Sequence[str] = results["data"]["clean"]["class_names"]
    return names


def _gallery(items: Sequence[GalleryItem], protected: Mapping[str, Any]) -> Html:
    if not items:
        return Html()
    deltas = [item.protected.astype(np.int16) - item.clean for item in items]
    bound = protected.get("epsilon") if protected.get("norm") == "linf" else None
    bound = bound or (max(int(np.abs(delta).max()) for delta in deltas) or 1) / 255
    factor = f"delta × {0.5 / bound:.3g}"
    cells = [element("span", name, class_="column") for name in ("", "clean", "protected", factor)]
    for item, delta in zip(items, deltas, strict=True):
        change = f"{_likeness(item)} · largest change {levels(int(np.abs(delta).max()) / 255)}"
        cells.append(element("p", element("b", item.label), element("code", item.sample_id), element("span", change)))
        magnified = np.clip(0.5 + 0.5 * _middle(delta) / (255 * bound), 0, 1)
        cells.append(image(_middle(item.clean), f"{item.label}, clean"))
        cells.append(image(_middle(item.protected), f"{item.label}, protected"))
        cells.append(image(np.round(255 * magnified).astype(np.uint8), f"{item.label}, {factor}"))
    words = (
        f"Mid-gray in the third column is an unchanged pixel; black and white are a change of {levels(bound)}. "
        f"An image larger than {CROP} pixels shows its middle at full resolution; PSNR and SSIM are of the whole image."
    )
    return section("Gallery", element("div", *cells, class_="gallery"), caption(words))


def _middle(pixels: NDArray[Any]) -> NDArray[Any]:
    top, left = (max(0, (side - CROP) // 2) for side in pixels.shape[:2])
    return pixels[top : top + CROP, left : left + CROP]


def _likeness(item: GalleryItem) -> str:
    """PSNR and, of images that are large enough for it, SSIM."""
    ratio = psnr(item.clean, item.protected)
    said = f"PSNR {'∞' if isinf(ratio) else f'{ratio:.1f} dB'}"
    return f"{said} · SSIM {ssim(item.clean, item.protected):.3f}" if min(item.clean.shape[:2]) >= WINDOW else said


def _data(data: Mapping[str, Any]) -> Html:
    clean, protected, test, control = data["clean"], data["protected"], data["test"], data.get("control") or {}
    return facts(
        {
            "clean": [clean["uri"], f"{clean['images']:,} images", f"{clean['classes']} classes"],
            "protected": [
                protected["uri"],
                f"{protected['images']:,} images",
                *(protected.get(key) for key in ("method", "granularity", "norm")),
                *(_amount(protected, key) for key in ("epsilon", "max_abs_delta", "mean_abs_delta")),
                *(_count(protected, key, words) for key, words in _TWINS.items()),
            ],
            "control": [*(control.get(key) for key in ("noise", "granularity")), _amount(control, "epsilon")],
            "test": [test["uri"], f"{test['images']:,} images"],
        }
    )


_AMOUNTS = {"epsilon": "epsilon", "max_abs_delta": "largest change", "mean_abs_delta": "mean change"}
_TWINS = {"aligned": "with a clean twin", "missing": "clean images without a protected twin"}


def _amount(of: Mapping[str, Any], key: str) -> str | None:
    if of.get(key) is None:
        return None
    other_norm = key == "epsilon" and of.get("norm", "linf") != "linf"
    return f"{_AMOUNTS[key]} {f'{of[key]:.3g}' if other_norm else levels(of[key])}"


def _count(of: Mapping[str, Any], key: str, words: str) -> str | None:
    return None if of.get(key) is None else f"{of[key]:,} {words}"
