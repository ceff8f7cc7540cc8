"""The sections on latency: distributions under equal load, and what becomes of them when the rate grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from twinserve_loadtest.report.cdf import points_of_band, points_of_histogram
from twinserve_loadtest.report.content import Axis, DataTable, Limit, LineChart, Point, Series
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import DASH, milliseconds, percent, rate, significant
from twinserve_loadtest.report.scenarios import conditions_compared, conditions_tested, scenario_title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twinserve_loadtest.record.comparison import Comparison
    from twinserve_loadtest.record.findings import RatePoint, ScenarioResult, SloResult
    from twinserve_loadtest.record.load_results import Results, Scenario, Step
    from twinserve_loadtest.report.inputs import Inputs

_X = Axis("latency (ms)", "log")
_Y = Axis("requests answered within it", "percentile")
_PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")
#: Of a load test: those in which every variant met the same load, so that percentiles may be compared.
_EQUAL_LOAD = ("single-stream", "open")
_RESAMPLED = "Band: 95 %, bootstrap over interleaved blocks."
_RANKED = "Band: 95 % by order statistics, requests taken as independent: on a noisy machine too narrow."


def latency_section(inputs: Inputs) -> Section:
    """Distributions and the table of percentiles."""
    figures = []
    for source, comparison in inputs.comparisons:
        figures += [
            _compared(run, source.name if inputs.several else "")
            for run in comparison.scenarios.values()
            if run.name != "offline" and any(arm.cdf for arm in run.arms.values())
        ]
    for source, results in inputs.load_tests:
        figures += [
            _tested(scenario, source.name if inputs.several else "")
            for scenario in results.scenarios
            if scenario.name in _EQUAL_LOAD and any(result.latency.count for result in scenario.variants.values())
        ]
    rows: list[list[str]] = []
    variants: list[str | None] = []
    for comparison in inputs.compared:
        _rows_compared(comparison, rows, variants)
    for results in inputs.results:
        _rows_tested(results, rows, variants)
    missing = [] if figures else ["No latency was measured under equal load: neither single stream nor open loop ran."]
    if rows:
        columns = ["Load", "Variant", *_PERCENTILES, "max", "requests", "failed"]
        figures.append(
            Figure(
                "Percentiles, in milliseconds",
                DataTable(columns, rows, variants),
                "A dash: the sample is too small to carry that percentile (p99 needs 662 requests, p99.9 6,636). "
                "Percentiles of a closed loop are of a saturated service, where the faster variant was given more "
                "load: do not compare them.",
            )
        )
    return Section(
        "latency", "Latency", "How long a caller waits, every variant under the same load.", figures, missing
    )


def rate_section(inputs: Inputs) -> Section:
    """Latency against the offered rate, and the highest rate that is sustained."""
    figures, missing = [], []
    for source, comparison in inputs.comparisons:
        if comparison.slo is not None and comparison.slo.points:
            figures.append(_rates_compared(comparison.slo, source.name if inputs.several else ""))
    for source, results in inputs.load_tests:
        scenario = results.scenario("step")
        if scenario is not None and scenario.steps:
            figures.append(_rates_tested(scenario, source.name if inputs.several else ""))
    if not figures:
        missing.append(
            "No rates were searched. `twinserve compare` finds the highest rate of two variants, "
            "`twinserve loadtest --mode step` that of every variant."
        )
    return Section(
        "rate",
        "Latency against rate",
        "How much traffic each variant carries before callers feel it.",
        figures,
        missing,
    )


def _compared(run: ScenarioResult, source: str) -> Figure:
    series = [Series(name, points_of_band(arm.cdf, arm.requests)) for name, arm in run.arms.items()]
    return Figure(
        f"{scenario_title(run.name)}: {conditions_compared(run)}",
        LineChart(_X, _Y, series, "x", _cdf_summary(series)),
        f"{_RESAMPLED} {run.pairs} pairs of blocks.",
        list(run.invalid),
        source,
    )


def _tested(scenario: Scenario, source: str) -> Figure:
    series = [
        Series(name, points)
        for name, result in scenario.variants.items()
        if (points := points_of_histogram(result.latency.histogram))
    ]
    warnings = [
        f"{name}: {reason}"
        for name, result in scenario.variants.items()
        for reason in result.generator.invalid.get("latency", [])
    ]
    return Figure(
        f"{scenario_title(scenario.name)}: {conditions_tested(scenario)}",
        LineChart(_X, _Y, series, "x", _cdf_summary(series)),
        _RANKED,
        warnings,
        source,
    )


def _cdf_summary(series: list[Series]) -> str:
    texts = [f"{line.variant}: {', '.join(point.title for point in line.points if point.title)}" for line in series]
    return "Latency distribution. " + "; ".join(texts)


def _rows_compared(comparison: Comparison, rows: list[list[str]], variants: list[str | None]) -> None:
    for run in comparison.scenarios.values():
        for name, arm in run.arms.items():
            cells = [_ms(arm.percentiles_us.get(percentile)) for percentile in _PERCENTILES]
            rows.append([scenario_title(run.name), name, *cells, DASH, f"{arm.requests:,}", f"{arm.errors:,}"])
            variants.append(name)


def _rows_tested(results: Results, rows: list[list[str]], variants: list[str | None]) -> None:
    for scenario in results.scenarios:
        if scenario.name in ("accuracy", "step"):
            continue
        for name, result in scenario.variants.items():
            got = result.latency
            cells = [_ms(us) for us in (got.p50_us, got.p90_us, got.p95_us, got.p99_us, got.p999_us, got.max_us)]
            failed = sum(result.failures.values())
            rows.append([scenario_title(scenario.name), name, *cells, f"{result.requests:,}", f"{failed:,}"])
            variants.append(name)


def _rates_compared(slo: SloResult, source: str) -> Figure:
    arms = dict.fromkeys(point.arm for point in slo.points)
    series = [
        Series(
            arm,
            [
                _rate_point(point, latency, slo.percentile)
                for point in sorted(slo.points, key=lambda point: point.offered_rate)
                if point.arm == arm and (latency := point.percentiles_us.get(slo.percentile)) is not None
            ],
        )
        for arm in arms
    ]
    found = _sustained(slo.sustained_rate)
    warnings = ["the generator gave up before the server: the rates are lower bounds"] if slo.generator_bound else []
    return Figure(
        f"{slo.percentile} against the offered rate",
        LineChart(
            Axis("offered requests/s"),
            Axis(f"{slo.percentile} (ms)", "log"),
            series,
            "y",
            f"Highest rate within {slo.limit_ms:g} ms: {found}.",
            Limit(slo.limit_ms, f"objective {slo.limit_ms:g} ms"),
        ),
        f"Highest rate with {slo.percentile} within {slo.limit_ms:g} ms and at most "
        f"{percent(slo.max_error_share, 1)} errors: {found}. Hollow: not sustained.",
        warnings,
        source,
    )


def _rates_tested(scenario: Scenario, source: str) -> Figure:
    limit_ms = float(scenario.parameters.get("p99_limit_us", 0)) / 1000
    names = dict.fromkeys(step.variant for step in scenario.steps)
    series = [
        Series(
            name,
            [
                _step_point(step, step.p99_us)
                for step in sorted(scenario.steps, key=lambda step: step.rate)
                if step.variant == name and step.p99_us is not None
            ],
        )
        for name in names
    ]
    found = _sustained(scenario.sustained_rate)
    bound = sorted({step.variant for step in scenario.steps if step.generator_bound})
    return Figure(
        "p99 against the offered rate",
        LineChart(
            Axis("offered requests/s"),
            Axis("p99 (ms)", "log"),
            series,
            "y",
            f"Highest sustained rate: {found}.",
            Limit(limit_ms, f"objective {limit_ms:g} ms") if limit_ms else None,
        ),
        f"Highest rate with p99 within {limit_ms:g} ms: {found}. Hollow: not sustained.",
        [f"{', '.join(bound)}: the generator gave up before the server: a lower bound"] if bound else [],
        source,
    )


def _sustained(rates: Mapping[str, float | None]) -> str:
    return "; ".join(
        f"{name}: {f'{rate(value)} requests/s' if value is not None else 'none found'}" for name, value in rates.items()
    )


def _rate_point(point: RatePoint, latency_us: float, percentile: str) -> Point:
    return _point(point.offered_rate, latency_us, point.sustained and not point.invalid, percentile, point.invalid)


def _step_point(step: Step, latency_us: int) -> Point:
    return _point(step.rate, latency_us, step.sustained, "p99", step.reason)


def _point(offered: float, latency_us: float, sustained: bool, percentile: str, why: str) -> Point:
    marker: Literal["filled", "hollow"] = "filled" if sustained else "hollow"
    title = f"{rate(offered)} requests/s: {percentile} {milliseconds(latency_us)}" + (f" ({why})" if why else "")
    return Point(offered, latency_us / 1000, marker=marker, title=title)


def _ms(microseconds: float | None) -> str:
    return DASH if microseconds is None else significant(microseconds / 1000)
