"""The finding of each section in a sentence, for who reads nothing else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.numbers import megabytes, milliseconds, percent, points, rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twinserve_loadtest.report.document import Loads, VariantRow
    from twinserve_loadtest.report.inputs import Inputs


def leads(inputs: Inputs, table: Sequence[VariantRow], loads: Loads) -> dict[str, str]:
    """Section → sentence, for the sections that found something."""
    rows = [row for row in table if row.variant is not None]
    texts = {
        "latency": _join(
            _listed(f"Median, {loads.latency}", rows, lambda row: row.served.p50_us, milliseconds),
            _listed(f"p99, {loads.latency}", rows, lambda row: row.served.p99_us, milliseconds),
        ),
        "throughput": _listed(
            f"Images per second, {loads.throughput}", rows, lambda row: row.served.images_per_second.value, rate
        ),
        "costs": _listed(
            "Memory that the model adds to a process", rows, lambda row: row.served.added_bytes, megabytes
        ),
        "accuracy": _accuracy(inputs, rows),
        "rate": _rates(inputs),
    }
    return {section: text for section, text in texts.items() if text}


def _listed(
    what: str,
    rows: Sequence[VariantRow],
    value_of: Callable[[VariantRow], float | None],
    write: Callable[[float | None], str],
) -> str:
    found = [f"{row.label} {write(value)}" for row in rows if (value := value_of(row)) is not None]
    return f"{what}: {', '.join(found)}." if found else ""


def _accuracy(inputs: Inputs, rows: Sequence[VariantRow]) -> str:
    paired = [
        f"{comparison.baseline} and {comparison.candidate} part on {found.disagreement_count:,} of {found.images:,} "
        f"images; the difference in accuracy is {points(found.difference.estimate)} "
        f"({points(found.difference.low)} to {points(found.difference.high)})."
        for comparison in inputs.compared
        if (found := comparison.accuracy) is not None
    ]
    return " ".join(paired) or _listed("Right answers", rows, lambda row: row.accuracy.value, percent)


def _rates(inputs: Inputs) -> str:
    found = []
    for comparison in inputs.compared:
        slo = comparison.slo
        if slo is not None:
            found.append((f"{slo.percentile} within {slo.limit_ms:g} ms", slo.sustained_rate))
    for results in inputs.results:
        scenario = results.scenario("step")
        if scenario is not None:
            limit = float(scenario.parameters.get("p99_limit_us", 0)) / 1000
            found.append((f"p99 within {limit:g} ms", scenario.sustained_rate))
    texts = []
    for limit_text, sustained in found:
        known = [f"{name} {rate(value)}" for name, value in sustained.items() if value is not None]
        if known:
            texts.append(f"Highest rate with {limit_text}, requests/s: {', '.join(known)}.")
    return " ".join(texts)


def _join(*texts: str) -> str:
    return "\n".join(text for text in texts if text)
