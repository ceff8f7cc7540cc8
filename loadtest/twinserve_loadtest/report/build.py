"""From the inputs of a report to its document."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from twinserve_loadtest.report.accuracy import accuracy_section
from twinserve_loadtest.report.answer import headlines
from twinserve_loadtest.report.caveats import alerts, caveats, missing_in
from twinserve_loadtest.report.costs import costs_section
from twinserve_loadtest.report.crossover import crossover_section
from twinserve_loadtest.report.document import Document, Section
from twinserve_loadtest.report.effects import effects_section
from twinserve_loadtest.report.latency import latency_section
from twinserve_loadtest.report.provenance import machine_line, provenance
from twinserve_loadtest.report.rate import rate_section
from twinserve_loadtest.report.served import served_by_variant
from twinserve_loadtest.report.servers import servers_section
from twinserve_loadtest.report.throughput import throughput_section
from twinserve_loadtest.report.variants import styles, variant_table
from twinserve_loadtest.report.why import stages_section

if TYPE_CHECKING:
    from twinserve_loadtest.record.testset import TestSet
    from twinserve_loadtest.report.inputs import Inputs


def build_document(inputs: Inputs, test_set: TestSet | None = None) -> Document:
    """Everything that a report of ``inputs`` says.

    Args:
        inputs: At least one record.
        test_set: The images that a load test sent, for the gallery; comparisons bring their own.
    """
    first = inputs.measured[0]
    served, loads = served_by_variant(inputs)
    rows = variant_table(inputs, served)
    sections = [
        effects_section(inputs),
        latency_section(inputs, rows, loads),
        rate_section(inputs),
        throughput_section(inputs, rows, loads),
        accuracy_section(inputs, rows, test_set),
        costs_section(inputs, rows),
        stages_section(inputs),
        crossover_section(inputs),
    ]
    if servers := servers_section(inputs):
        sections.append(servers)
    compared = [record for record in inputs.measured if record.comparison is not None]
    return Document(
        model=first.model.name,
        version=first.model.version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine_line(first.stamp),
        dataset=first.dataset,
        variants=styles(inputs),
        alerts=alerts(inputs),
        headlines=[line for record in compared or inputs.measured[:1] for line in headlines(record)],
        table=rows,
        loads=loads,
        sections=[_complete(section, inputs) for section in sections],
        caveats=caveats(inputs),
        provenance=provenance(inputs),
        metric=first.model.metric,
    )


def _complete(section: Section, inputs: Inputs) -> Section:
    """The section with what the records themselves say is missing from it."""
    told = missing_in(inputs, section.key)
    return replace(section, missing=told if told and not section.figures else [*told, *section.missing])
