"""The section on latency against the offered rate, and the highest rate that is sustained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.content import Axis, Limit, LineChart, Point, Series
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import milliseconds, percent, rate

if TYPE_CHECKING:
    from twinserve_loadtest.record.run import RatePoint, RateSearch
    from twinserve_loadtest.report.inputs import Inputs


def rate_section(inputs: Inputs) -> Section:
    """One chart for each search."""
    searched = [(label, record.rates) for label, record in inputs.labelled if record.rates and record.rates.points]
    figures = [_figure(rates, label) for label, rates in searched]
    missing = []
    if not figures:
        missing.append(
            "The highest rate was not searched for. `twinserve compare` finds it for two variants, "
            "`twinserve loadtest --mode step` for every variant."
        )
    found = [text for _, rates in searched if (text := _finding(rates))]
    lead = "How much traffic each variant can take before callers notice."
    return Section("rate", "Latency against rate", lead, figures, missing, " ".join(found))


def _finding(rates: RateSearch) -> str:
    known = [f"{name} {rate(value)}" for name, value in rates.sustained.items() if value is not None]
    if not known:
        return ""
    return f"Highest rate with {rates.percentile} within {rates.limit_ms:g} ms, requests/s: {', '.join(known)}."


def _figure(rates: RateSearch, source: str) -> Figure:
    series = []
    for arm in dict.fromkeys(point.arm for point in rates.points):
        mine = sorted((point for point in rates.points if point.arm == arm), key=lambda point: point.offered_rate)
        series.append(Series(arm, [drawn for point in mine if (drawn := _point(point, rates.percentile))]))
    sustained = "; ".join(
        f"{name}: {f'{rate(value)} requests/s' if value is not None else 'none found'}"
        for name, value in rates.sustained.items()
    )
    highest = f"Highest rate with {rates.percentile} within {rates.limit_ms:g} ms"
    bound = sorted({point.arm for point in rates.points if point.generator_bound})
    warnings = [
        f"{', '.join(bound)}: the load generator reached its limit before the server did, so the rate is a lower bound"
    ]
    return Figure(
        f"{rates.percentile} against the offered rate",
        LineChart(
            Axis("offered requests/s"),
            Axis(f"{rates.percentile} (ms)", "log"),
            series,
            "y",
            f"{highest}: {sustained}.",
            Limit(rates.limit_ms, f"objective {rates.limit_ms:g} ms") if rates.limit_ms else None,
        ),
        f"{highest} and at most {percent(rates.max_error_share, 1)} errors: {sustained}. Hollow marks: not sustained.",
        warnings if bound else [],
        source,
    )


def _point(point: RatePoint, percentile: str) -> Point | None:
    latency = point.percentiles_us.get(percentile)
    if latency is None:
        return None
    why = f" ({point.reason})" if point.reason else ""
    title = f"{rate(point.offered_rate)} requests/s: {percentile} {milliseconds(latency)}{why}"
    marker = point.sustained and not point.generator_bound
    return Point(point.offered_rate, latency / 1000, marker="filled" if marker else "hollow", title=title)
