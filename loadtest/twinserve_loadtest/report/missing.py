"""What the runs said is missing, put where a reader looks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twinserve_loadtest.record.comparison import Comparison
    from twinserve_loadtest.report.inputs import Inputs

#: Section → what marks a remark of a comparison (in its code) as belonging there.
_CODES = {
    "effects": ("control", "comparison"),
    "latency": ("comparison",),
    "rate": ("slo", "rate"),
    "throughput": ("comparison",),
    "accuracy": ("accuracy",),
    "crossover": ("crossover",),
}
#: Section → scenarios of a load test whose losses belong there; a load test writes "open, int8: ...".
_SCENARIOS = {
    "latency": ("single-stream", "open", "mixed"),
    "rate": ("step",),
    "throughput": ("offline", "closed"),
    "accuracy": ("accuracy",),
}


def missing_in(inputs: Inputs, section: str) -> list[str]:
    """Sentences for one section, in the words of the runs."""
    codes, scenarios = _CODES.get(section, ()), _SCENARIOS.get(section, ())
    found = [
        remark.text
        for comparison in inputs.compared
        for remark in comparison.missing
        if any(code in remark.code.lower() for code in codes)
    ]
    found += [
        f"{text[:1].upper()}{text[1:]}."
        for results in inputs.results
        for text in results.missing
        if text.partition(",")[0] in scenarios
    ]
    return list(dict.fromkeys(found))


def cut_short(comparison: Comparison) -> bool:
    """Whether a comparison ended before its time, rather than having planned without some part."""
    return comparison.accuracy is None or any(
        remark.code == "interrupted" or remark.code.startswith("not_measured") for remark in comparison.missing
    )
