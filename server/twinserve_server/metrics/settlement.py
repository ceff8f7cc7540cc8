"""Closes the accounts of a gateway that has ended.

A killed gateway leaves RPCs that it started and did not finish. Their callers lost the connection and saw UNAVAILABLE,
but nobody counted that. The slab shows how many there were: started minus handled, routed minus finished. Once they are
counted here, every RPC has ended under exactly one status, and ``started - handled`` is what is in progress.
"""

from __future__ import annotations

from collections import defaultdict

from twinserve_server.engine.router import ROUTES
from twinserve_server.metrics import families
from twinserve_server.metrics.cells import Cell, Labels
from twinserve_server.metrics.slab import Slab

LOST_CODE = "UNAVAILABLE"
LOST_REASON = "GATEWAY_ENDED"


def settle(slab: Slab) -> int:
    """Count what the dead writer of ``slab`` left open, and clear its gauges.

    Returns:
        How many RPCs were lost.
    """
    open_rpcs: defaultdict[Labels, float] = defaultdict(float)
    open_calls: defaultdict[Labels, float] = defaultdict(float)
    for series in list(slab.series()):
        labels, value = series.labels, slab.cells[series.start]
        if series.family == families.RPC_STARTED.name:
            open_rpcs[labels] += value
        elif series.family == families.RPC_HANDLED.name:
            open_rpcs[labels[:-1]] -= value
        elif series.family == families.ROUTED.name:
            *variant, reason = labels
            open_calls[*variant, ROUTES[reason]] += value
        elif series.family == families.REQUESTS.name and labels[-2] != "shadow":
            open_calls[labels[:-1]] -= value
        elif series.family in families.HELD:
            slab.cells[series.start] = 0.0
    lost = 0
    for rpc, count in open_rpcs.items():
        if count > 0:
            Cell(slab, families.RPC_HANDLED, (*rpc, LOST_CODE)).add(count)
            lost += int(count)
    for call, count in open_calls.items():
        if count > 0:
            Cell(slab, families.REQUESTS, (*call, LOST_CODE)).add(count)
            Cell(slab, families.REFUSED, (*call[:-1], LOST_REASON)).add(count)
    return lost
