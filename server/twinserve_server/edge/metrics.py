"""The supervisor's metric families, for a server that is one process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twinserve_server.host.memory import cpu_seconds, resident_bytes
from twinserve_server.host.standard_error import protect_standard_error
from twinserve_server.metrics import families
from twinserve_server.metrics.sums import Values
from twinserve_server.supervisor.metrics import Sheet

if TYPE_CHECKING:
    from twinserve_server.edge.edge import Edge


def edge_values(edge: Edge) -> dict[str, Values]:
    """Every family that the supervisor fills in, by name.

    A model's memory is what loading and warming it added; its CPU time is what the models' thread spent on it. The rest
    of the process's memory (PSS) and CPU time is the gateway's, so that sums count nothing twice.
    """
    sheet = Sheet(edge.transport)
    models_cpu, models_pss = 0.0, 0
    models = list(edge.models.values())
    sheet.put_gpus(state for _, state in models)
    for model, state in models:
        labels = sheet.put_model(edge.traffic, state, ready=True)
        sheet.put_device_bytes(labels, state)
        sheet.put(families.MODEL_CPU, labels, model.cpu_seconds)
        added = model.facts.added_warm_up_bytes
        sheet.put(families.MODEL_RESIDENT, (*labels, str(state.replica.index), "added"), added)
        # Warming up in memory left by another model may free more than it takes.
        pss = max(0, added)
        sheet.put(families.MODEL_RESIDENT, (*labels, str(state.replica.index), "pss"), pss)
        models_pss += pss
        models_cpu += model.cpu_seconds
    sheet.put_traffic_file(edge.traffic)
    resident = resident_bytes()
    sheet.put(families.GATEWAY_RESIDENT, ("gateway-0", "pss"), max(0, resident.pss - models_pss))
    sheet.put(families.GATEWAY_RESIDENT, ("gateway-0", "rss"), resident.rss)
    sheet.put(families.GATEWAY_CPU, ("gateway-0",), max(0.0, cpu_seconds(os.getpid()) - models_cpu))
    sheet.put(families.LOG_LINES_LOST, ("edge",), protect_standard_error().lost)
    return sheet.values
