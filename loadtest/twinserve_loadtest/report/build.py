"""From the inputs of a report to its document."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from twinserve_loadtest.report.accuracy import accuracy_section
from twinserve_loadtest.report.answer import headline_of_comparison, headline_of_load_test
from twinserve_loadtest.report.caveats import alerts, caveats
from twinserve_loadtest.report.costs import costs_section
from twinserve_loadtest.report.document import Document, Headline, Section
from twinserve_loadtest.report.effects import effects_section
from twinserve_loadtest.report.latency import latency_section, rate_section
from twinserve_loadtest.report.leads import leads
from twinserve_loadtest.report.missing import missing_in
from twinserve_loadtest.report.provenance import machine_line, provenance
from twinserve_loadtest.report.served import loads
from twinserve_loadtest.report.throughput import throughput_section
from twinserve_loadtest.report.variants import baseline_of, styles, variant_table
from twinserve_loadtest.report.why import crossover_section, stages_section

if TYPE_CHECKING:
    from twinserve_loadtest.record.testset import TestSet
    from twinserve_loadtest.report.inputs import Inputs


def build_document(inputs: Inputs, test_set: TestSet | None = None) -> Document:
    """Everything that a report of ``inputs`` says.

    Args:
        inputs: At least one load test or comparison.
        test_set: The images that a load test sent, for the gallery; comparisons bring their own.
    """
    model, version = next(inputs.models())
    baseline = baseline_of(inputs)
    table, conditions = variant_table(inputs), loads(inputs)
    sections = [
        effects_section(inputs),
        latency_section(inputs),
        rate_section(inputs),
        throughput_section(inputs),
        accuracy_section(inputs, test_set),
        costs_section(inputs),
        stages_section(inputs, baseline),
        crossover_section(inputs),
    ]
    found = leads(inputs, table, conditions)
    return Document(
        model=model,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine_line(inputs),
        dataset=next(inputs.datasets()),
        variants=styles(inputs),
        alerts=alerts(inputs),
        headlines=_headlines(inputs, baseline),
        table=table,
        loads=conditions,
        sections=[_complete(section, inputs, found) for section in sections],
        caveats=caveats(inputs),
        provenance=provenance(inputs),
    )


def _complete(section: Section, inputs: Inputs, found: dict[str, str]) -> Section:
    """The section with its finding, and with what the runs themselves said is missing."""
    told = missing_in(inputs, section.key)
    return replace(
        section,
        lead=found.get(section.key, section.lead),
        missing=told if told and not section.figures else [*told, *section.missing],
    )


def _headlines(inputs: Inputs, baseline: str) -> list[Headline]:
    """A verdict for each comparison; without one, a sentence for each variant that was load-tested."""
    if inputs.compared:
        return [headline_of_comparison(comparison) for comparison in inputs.compared]
    results = inputs.results[0]
    return [headline_of_load_test(results, baseline, name) for name in results.model.variants if name != baseline]
