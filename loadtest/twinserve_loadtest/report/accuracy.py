"""The section on accuracy: shares with Wilson's intervals, the paired test, confusions, parting answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.content import (
    Axis,
    ConfusionMatrix,
    DataTable,
    IntervalChart,
    IntervalRow,
)
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.gallery import gallery_compared, gallery_tested
from twinserve_loadtest.report.numbers import percent, points, probability
from twinserve_loadtest.statistics.paired import wilson_interval

if TYPE_CHECKING:
    from twinserve_loadtest.record.findings import AccuracyResult
    from twinserve_loadtest.record.load_results import Results
    from twinserve_loadtest.record.testset import TestSet
    from twinserve_loadtest.report.inputs import Inputs

_AXIS = Axis("right answers (%)")
_CAPTION = "Dots: right answers through the service; whiskers: 95 %, Wilson."
#: Above this a matrix is no picture any more: the most frequent confusions are listed instead.
_LARGEST_MATRIX = 20
_LISTED = 15


def accuracy_section(inputs: Inputs, test_set: TestSet | None) -> Section:
    """From the paired comparison, else from the load test's accuracy run."""
    figures: list[Figure] = []
    missing: list[str] = []
    matrices: dict[str, Figure] = {}
    for source, comparison in inputs.comparisons:
        found = comparison.accuracy
        if found is None:
            continue
        label = source.name if inputs.several else ""
        figures.append(Figure("Right answers", _shares(found), _CAPTION, source=label))
        figures.append(_paired(found, comparison.baseline, comparison.candidate, label))
        figures.append(gallery_compared(found, comparison.baseline, comparison.candidate, label))
        for name, counts in found.confusion.items():
            matrices.setdefault(name, _confusion(name, found.class_names, counts, found.images))
    for source, results in inputs.load_tests:
        if results.scenario("accuracy") is None:
            continue
        label = source.name if inputs.several else ""
        figures += _tested(results, label)
        gallery = gallery_tested(results, test_set, label)
        if isinstance(gallery, str):
            missing.append(gallery)
        else:
            figures.append(gallery)
        for name, figure in _matrices(results):
            matrices.setdefault(name, figure)
    if not figures:
        missing.append("Accuracy was not measured: the test set was not sent through the service.")
    return Section(
        "accuracy",
        "Accuracy",
        "Every test image once to every variant, answered by the service, held against its true label.",
        figures + list(matrices.values()),
        missing,
    )


def _shares(found: AccuracyResult) -> IntervalChart:
    rows = [
        _row(name, share.estimate, share.low, share.high, round(share.estimate * found.images), found.images)
        for name, share in found.accuracy.items()
    ]
    return _chart(rows)


def _tested(results: Results, source: str) -> list[Figure]:
    scenario = results.scenario("accuracy")
    rows, warnings = [], []
    for name, result in scenario.variants.items() if scenario else ():
        got = result.accuracy
        if got is None or got.total == 0:
            warnings.append(f"{name}: no image was answered")
            continue
        share = wilson_interval(got.correct, got.total)
        rows.append(_row(name, share.estimate, share.low, share.high, got.correct, got.total))
        if got.coverage < 1:
            warnings.append(
                f"{name}: only {percent(got.coverage, 1)} of the test set was answered; "
                "the share is of those images alone"
            )
    return [Figure("Right answers", _chart(rows), _CAPTION, warnings, source)] if rows else []


def _row(name: str, share: float, low: float, high: float, correct: int, total: int) -> IntervalRow:
    text = f"{percent(share)} ({100 * low:.2f} to {100 * high:.2f}), {correct:,} of {total:,}"
    return IntervalRow(name, name, 100 * share, text, 100 * low, 100 * high)


def _chart(rows: list[IntervalRow]) -> IntervalChart:
    return IntervalChart(_AXIS, rows, "dot", "Accuracy. " + "; ".join(f"{row.label}: {row.text}" for row in rows))


def _paired(found: AccuracyResult, baseline: str, candidate: str, source: str) -> Figure:
    gap = found.difference
    verdict = "not inferior" if found.non_inferior else "not shown to be non-inferior"
    rows = [
        ["Both right", f"{found.both_correct:,} images"],
        [f"Only {baseline} right", f"{found.only_baseline_correct:,} images"],
        [f"Only {candidate} right", f"{found.only_candidate_correct:,} images"],
        ["Both wrong", f"{found.both_wrong:,} images"],
        [
            f"Difference, {candidate} less {baseline}",
            f"{points(gap.estimate, 3)} (95 %: {points(gap.low, 3)} to {points(gap.high, 3)}, Tango)",
        ],
        ["Are they different?", f"exact McNemar test, {probability(found.mcnemar_p)}"],
        [
            "Is the loss tolerable?",
            f"{candidate} is {verdict} at a margin of {points(-found.margin)} ({probability(found.non_inferiority_p)})",
        ],
    ]
    return Figure("Paired, image by image", DataTable(["Outcome", "Found"], rows, wrap=True), "", source=source)


def _matrices(results: Results) -> list[tuple[str, Figure]]:
    scenario = results.scenario("accuracy")
    return [
        (name, _confusion(name, results.model.labels, result.accuracy.confusion, result.accuracy.total))
        for name, result in (scenario.variants.items() if scenario else ())
        if result.accuracy is not None
    ]


def _confusion(name: str, class_names: list[str], counts: list[list[int]], images: int) -> Figure:
    wrong = [
        (count, class_names[true], class_names[answered])
        for true, row in enumerate(counts)
        for answered, count in enumerate(row)
        if true != answered and count
    ]
    wrong.sort(key=lambda entry: -entry[0])
    errors = sum(count for count, _, _ in wrong)
    worst = ", ".join(f"{true} taken for {answered} ({count})" for count, true, answered in wrong[:3])
    summary = f"{name}: {errors:,} of {images:,} answers are wrong" + (f"; most often {worst}" if worst else "")
    title = f"Confusions of {name}"
    if len(class_names) > _LARGEST_MATRIX:
        rows = [[true, answered, f"{count:,}"] for count, true, answered in wrong[:_LISTED]]
        table = DataTable(["True class", "Answered", "Images"], rows)
        return Figure(title, table, f"{summary}. The {len(rows)} most frequent of {len(wrong)} confusions.")
    return Figure(title, ConfusionMatrix(name, class_names, counts, summary), f"{summary}.")
