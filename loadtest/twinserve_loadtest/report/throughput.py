"""The section on throughput: images per second, with intervals where blocks were repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from twinserve_loadtest.report.content import Axis, IntervalChart, IntervalRow
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import rate
from twinserve_loadtest.report.scenarios import conditions_compared, conditions_tested, scenario_title

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twinserve_loadtest.record.findings import ScenarioResult
    from twinserve_loadtest.record.load_results import Scenario
    from twinserve_loadtest.report.inputs import Inputs

_AXIS = Axis("images per second")
_LEAST_BLOCKS = 5
_SATURATING = ("offline", "closed")


def throughput_section(inputs: Inputs) -> Section:
    """Offline first; the closed loop of a load test beside it."""
    figures = []
    for source, comparison in inputs.comparisons:
        figures += [
            _compared(run, source.name if inputs.several else "")
            for run in comparison.scenarios.values()
            if run.name == "offline" and run.arms
        ]
    for source, results in inputs.load_tests:
        figures += [
            _tested(scenario, source.name if inputs.several else "")
            for scenario in results.scenarios
            if scenario.name in _SATURATING and scenario.variants
        ]
    missing = [] if figures else ["No throughput was measured: neither the offline nor the closed-loop scenario ran."]
    return Section(
        "throughput", "Throughput", "How much work gets done when the service is kept busy.", figures, missing
    )


def _compared(run: ScenarioResult, source: str) -> Figure:
    rows = []
    for name, arm in run.arms.items():
        low, high = throughput_interval(run, name)
        rows.append(_row(name, arm.images_per_second, low, high, bool(run.invalid)))
    return Figure(
        f"{scenario_title(run.name)}: {conditions_compared(run)}",
        IntervalChart(_AXIS, rows, "bar", _summary(rows)),
        "Whiskers: 95 %, bootstrap over blocks.",
        list(run.invalid),
        source,
    )


def _tested(scenario: Scenario, source: str) -> Figure:
    invalid = {name: result.generator.invalid.get("throughput", []) for name, result in scenario.variants.items()}
    rows = [
        _row(name, result.images_per_second, None, None, bool(invalid[name]))
        for name, result in scenario.variants.items()
    ]
    return Figure(
        f"{scenario_title(scenario.name)}: {conditions_tested(scenario)}",
        IntervalChart(_AXIS, rows, "bar", _summary(rows)),
        "No interval: a load test runs too few blocks for one; `twinserve compare` gives it.",
        [f"{name}: {reason}" for name, reasons in invalid.items() for reason in reasons],
        source,
    )


def throughput_interval(run: ScenarioResult, arm: str) -> tuple[float | None, float | None]:
    """95 % interval of an arm's sum(images) / sum(seconds), by the percentile bootstrap over its valid blocks.

    Source: Efron & Tibshirani (1993), *An Introduction to the Bootstrap*, chapter 13; computed by
    ``scipy.stats.bootstrap``.
    """
    blocks = [block for block in run.blocks if block.phase == "main" and block.arm == arm and not block.invalid]
    if len(blocks) < _LEAST_BLOCKS:
        return None, None
    images = np.array([block.images for block in blocks], np.float64)
    taken = np.array([block.seconds for block in blocks], np.float64)

    def per_second(amount: NDArray[np.float64], time: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        found: NDArray[np.float64] = amount.sum(axis=axis) / time.sum(axis=axis)
        return found

    found = stats.bootstrap(
        (images, taken), per_second, paired=True, n_resamples=2000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    return float(found.low), float(found.high)


def _row(name: str, value: float, low: float | None, high: float | None, struck: bool) -> IntervalRow:
    text = f"{rate(value)} images/s" + (f" ({rate(low)} to {rate(high)})" if low is not None else "")
    return IntervalRow(name, name, value, text, low, high, struck)


def _summary(rows: list[IntervalRow]) -> str:
    return "Throughput. " + "; ".join(f"{row.label}: {row.text}" for row in rows)
