"""The section on several servers: how the load spread over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.content import DataTable
from twinserve_loadtest.report.document import Figure, Section
from twinserve_loadtest.report.numbers import DASH, percent, significant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.report.inputs import Inputs

_COLUMNS = ["scenario", "variant", "server", "requests", "share", "failed", "mean ms"]


def servers_section(inputs: Inputs) -> Section | None:
    """Requests by server and variant; None: no file is of several servers."""
    figures = [
        Figure("Requests by server", DataTable(_COLUMNS, list(_rows(record))), source=label)
        for label, record in inputs.labelled
        if len(record.servers) > 1
    ]
    if not figures:
        return None
    counts = sorted({len(record.servers) for record in inputs.measured if len(record.servers) > 1})
    lead = (
        f"{' and '.join(map(str, counts))} servers took turns, request by request, in the same order for every "
        "variant. All other figures are for the servers together: process memory and CPU time are sums."
    )
    return Section("servers", "Servers", lead, figures)


def _rows(record: Record) -> Iterator[list[str]]:
    for run in record.runs.values():
        for name, arm in run.arms.items():
            for server, share in sorted(arm.servers.items()):
                mean = share.mean_us
                yield [
                    run.title,
                    name,
                    server,
                    f"{share.requests:,}",
                    percent(share.requests / arm.requests, 1) if arm.requests else DASH,
                    f"{share.failures.total():,}",
                    DASH if mean is None else significant(mean / 1000),
                ]
