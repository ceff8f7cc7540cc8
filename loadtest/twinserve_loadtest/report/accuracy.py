"""The section on accuracy: shares with Wilson's intervals, the paired test, confusions, differing answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.content import Axis, ConfusionMatrix, DataTable, IntervalChart, IntervalRow
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.gallery import gallery_of
from twinserve_loadtest.report.leads import listed
from twinserve_loadtest.report.numbers import loss, percent, points, probability
from twinserve_loadtest.report.quality import quality_figures, quality_finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.record.comparison import Comparison, PairedAccuracy
    from twinserve_loadtest.record.run import Answers, Run
    from twinserve_loadtest.record.testset import TestSet
    from twinserve_loadtest.report.document import VariantRow
    from twinserve_loadtest.report.inputs import Inputs

_AXIS = Axis("correct answers (%)")
_CAPTION = "Dots: correct answers through the service; whiskers: 95 %, Wilson."
#: Above this a matrix is no longer readable: the most frequent confusions are listed instead.
_LARGEST_MATRIX = 20
_LISTED = 15


def accuracy_section(inputs: Inputs, rows: Sequence[VariantRow], test_set: TestSet | None) -> Section:
    """Shares, the paired test where there is one, the images that are answered differently, confusions."""
    figures: list[Figure] = []
    missing: list[str] = []
    matrices: dict[str, Figure] = {}
    for label, record in inputs.labelled:
        run = record.runs.get("accuracy")
        if run is None:
            continue
        if any(arm.answers is not None for arm in run.arms.values()):
            figures.append(_shares(run, label))
        if record.comparison is not None and record.comparison.accuracy is not None:
            figures.append(_paired(record.comparison, record.comparison.accuracy, label))
        figures += quality_figures(record, label)
        gallery = gallery_of(record, test_set, label)
        if isinstance(gallery, str):
            missing.append(gallery)
        elif gallery is not None:
            figures.append(gallery)
        for name, arm in run.arms.items():
            if arm.answers is not None:
                matrices.setdefault(name, _confusion(name, record.model.labels, arm.answers))
    if not figures:
        missing.append("Accuracy was not measured: the test set was not sent through the service.")
    finding = (
        _paired_finding(inputs)
        or listed("Correct answers", rows, lambda row: row.accuracy.value, percent)
        or listed("Mean loss", rows, lambda row: row.quality.value, loss)
    )
    lead = "Every variant answers every test image once, through the service; its answers are compared with the labels."
    if any(record.model.metric for record in inputs.measured):
        lead = "Every variant answers every item once, through the service; its answers are compared with the targets."
    return Section("accuracy", "Accuracy", lead, figures + list(matrices.values()), missing, finding)


def _paired_finding(inputs: Inputs) -> str:
    compared = [record.comparison for record in inputs.measured if record.comparison is not None]
    told = [text for one in compared if (text := quality_finding(one))]
    return " ".join(told) or " ".join(
        f"{record.comparison.baseline} and {record.comparison.candidate} disagree on {found.disagreement_count:,} of "
        f"{found.images:,} images; the difference in accuracy is {points(found.difference.estimate)} "
        f"({points(found.difference.low)} to {points(found.difference.high)})."
        for record in inputs.measured
        if record.comparison is not None and (found := record.comparison.accuracy) is not None
    )


def _shares(run: Run, source: str) -> Figure:
    rows, warnings = [], []
    for name, arm in run.arms.items():
        found = arm.answers
        if found is None:
            warnings.append(f"{name}: no image was answered")
            continue
        share = found.share
        low, high = 100 * share.low, 100 * share.high
        text = f"{percent(share.estimate)} ({low:.2f} to {high:.2f}), {found.correct:,} of {found.images:,}"
        rows.append(IntervalRow(name, name, 100 * share.estimate, text, low, high))
        if found.coverage < 1:
            warnings.append(f"{name}: only {percent(found.coverage, 1)} of the test set was answered")
    summary = "Accuracy. " + "; ".join(f"{row.label}: {row.text}" for row in rows)
    return Figure("Correct answers", IntervalChart(_AXIS, rows, "dot", summary), _CAPTION, warnings, source)


def _paired(compared: Comparison, found: PairedAccuracy, source: str) -> Figure:
    baseline, candidate, gap = compared.baseline, compared.candidate, found.difference
    verdict = "non-inferior" if found.non_inferior else "not shown to be non-inferior"
    rows = [
        ["Both correct", f"{found.both_correct:,} images"],
        [f"Only {baseline} correct", f"{found.only_baseline_correct:,} images"],
        [f"Only {candidate} correct", f"{found.only_candidate_correct:,} images"],
        ["Both wrong", f"{found.both_wrong:,} images"],
        [
            f"Difference, {candidate} minus {baseline}",
            f"{points(gap.estimate, 3)} (95 %: {points(gap.low, 3)} to {points(gap.high, 3)}, Tango)",
        ],
        ["Do they differ?", f"exact McNemar test, {probability(found.mcnemar_p)}"],
        [
            "Is the loss acceptable?",
            f"{candidate} is {verdict} at a margin of {points(-found.margin)} ({probability(found.non_inferiority_p)})",
        ],
    ]
    return Figure("Paired, image by image", DataTable(["Outcome", "Found"], rows, wrap=True), "", source=source)


def _confusion(name: str, class_names: list[str], answers: Answers) -> Figure:
    counts = answers.confused or [
        (true, answered, count)
        for true, row in enumerate(answers.confusion)
        for answered, count in enumerate(row)
        if true != answered and count
    ]
    wrong = [(count, class_names[true], class_names[answered]) for true, answered, count in counts]
    wrong.sort(key=lambda entry: -entry[0])
    errors = answers.images - answers.correct
    worst = ", ".join(f"{true} mistaken for {answered} ({count})" for count, true, answered in wrong[:3])
    summary = f"{name}: {errors:,} of {answers.images:,} answers are wrong" + (f"; most often {worst}" if worst else "")
    title = f"Confusions of {name}"
    if len(class_names) > _LARGEST_MATRIX:
        rows = [[true, answered, f"{count:,}"] for count, true, answered in wrong[:_LISTED]]
        table = DataTable(["True class", "Answered", "Images"], rows)
        return Figure(title, table, f"{summary}. The {len(rows)} most frequent of {len(wrong)} confusions.")
    return Figure(title, ConfusionMatrix(name, class_names, answers.confusion, summary), f"{summary}.")
