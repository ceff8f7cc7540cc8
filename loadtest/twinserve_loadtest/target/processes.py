"""The processes of the servers under test: how many there are, and where their CPU time is read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from twinserve_client import CallError, Client
from twinserve_loadtest.target.cpu_clock import GATEWAYS, CpuClock
from twinserve_loadtest.target.metrics import MetricsError, read_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_client import ProcessStatus
    from twinserve_loadtest.record.measurement import Model
    from twinserve_loadtest.target.servers import Servers


def cpu_clock(servers: Servers, model: Model, metrics_urls: Sequence[str]) -> CpuClock:
    """Where CPU seconds are read: here, when all servers are here."""
    statuses = _statuses(servers, model.name) if all(server.on_this_machine for server in servers) else []
    ids: dict[str, list[int]] = {}
    for process in statuses:
        for name in _names(process, model):
            ids.setdefault(name or GATEWAYS, []).append(process.pid)
    # One process for everything (the edge profile) does not tell whose time it spends.
    apart = len({process.pid for process in statuses}) == len(statuses)
    return CpuClock(ids if apart else {}, metrics_urls, model)


def count_processes(servers: Servers, model: Model, metrics_urls: Sequence[str]) -> dict[str, int]:
    """How many gateways (under ``gateway``) and model processes of each variant one server has; empty: not told.

    Of several servers, those of the one with fewest.
    """
    told = [
        Counter(name or "gateway" for process in _statuses([server], model.name) for name in _names(process, model))
        for server in servers
    ]
    if not all(told):
        try:
            pages = [read_metrics(url) for url in metrics_urls]
        except MetricsError:
            return {}
        told = [
            Counter(
                {"gateway": len(page.gateway_cpu_seconds())}
                | {name: page.replicas(model.name, variant) for name, variant in model.variants.items()}
            )
            for page in pages
        ]
    names = ("gateway", *model.variants)
    return {name: count for name in names if (count := min((counts[name] for counts in told), default=0))}


def _names(process: ProcessStatus, model: Model) -> list[str]:
    """What its variant is called among those of ``model`` that are measured; a gateway's is "".

    A server of before versions could be told apart says none.
    """
    if not process.variant:
        return [""]
    if process.model not in {"", model.name}:
        return []
    return [
        name
        for name, variant in model.variants.items()
        if variant.served_as == process.variant and process.version in {"", variant.version}
    ]


def _statuses(servers: Servers, model: str) -> list[ProcessStatus]:
    """Of all processes; none where a server does not tell, as one whose admin calls have a port of their own."""
    found: list[ProcessStatus] = []
    for server in servers:
        try:
            with Client(server.address, model=model, tls=server.tls) as client:
                found += client.get_status().processes
        except CallError:
            return []
    return found
