"""From the inputs of a report to its document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from twinserve_loadtest.report_accuracy import accuracy_section
from twinserve_loadtest.report_answer import headline_of_comparison, headline_of_load_test
from twinserve_loadtest.report_caveats import alerts, caveats
from twinserve_loadtest.report_costs import costs_section
from twinserve_loadtest.report_document import Document, Headline
from twinserve_loadtest.report_effects import effects_section
from twinserve_loadtest.report_latency import latency_section, rate_section
from twinserve_loadtest.report_load_ratios import load_ratios
from twinserve_loadtest.report_provenance import machine_line, provenance
from twinserve_loadtest.report_served import loads
from twinserve_loadtest.report_throughput import throughput_section
from twinserve_loadtest.report_variants import baseline_of, styles, variant_table
from twinserve_loadtest.report_why import crossover_section, stages_section

if TYPE_CHECKING:
    from twinserve_loadtest.report_inputs import Inputs
    from twinserve_loadtest.testset import TestSet


def build_document(inputs: Inputs, test_set: TestSet | None = None) -> Document:
    """Everything that a report of ``inputs`` says.

    Args:
        inputs: At least one load test or comparison.
        test_set: The images that a load test sent, for the gallery; comparisons bring their own.
    """
    model, version = next(inputs.models())
    baseline = baseline_of(inputs)
    return Document(
        model=model,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine_line(inputs),
        dataset=next(inputs.datasets()),
        variants=styles(inputs),
        alerts=alerts(inputs),
        headlines=_headlines(inputs, baseline),
        table=variant_table(inputs),
        loads=loads(inputs),
        sections=[
            effects_section(inputs),
            latency_section(inputs),
            rate_section(inputs),
            throughput_section(inputs),
            accuracy_section(inputs, test_set),
            costs_section(inputs),
            stages_section(inputs, baseline),
            crossover_section(inputs),
        ],
        caveats=caveats(inputs),
        provenance=provenance(inputs),
    )


def _headlines(inputs: Inputs, baseline: str) -> list[Headline]:
    """A verdict for each comparison; without one, a sentence for each variant that was load-tested."""
    if inputs.compared:
        return [headline_of_comparison(comparison) for comparison in inputs.compared]
    results = inputs.results[0]
    dataset = f"{results.dataset.images:,} images of {results.dataset.name}"
    if not results.dataset.full:
        dataset += " (a small set)"
    candidates = [name for name in results.model.variants if name != baseline]
    return [
        headline_of_load_test(load_ratios(results, baseline, name), complete=results.complete, dataset=dataset)
        for name in candidates
    ]
