"""How many servers a rate needs to meet an objective, what that costs, and how far the answer can be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from twinserve_loadtest.capacity.measured import CapacityError, Measured, measured_of
from twinserve_loadtest.capacity.server import ServerModel
from twinserve_loadtest.statistics.queueing import OverloadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_loadtest.record.measurement import Record

#: A curve with fewer points says little about its shape.
_LEAST_POINTS = 3


@dataclass(frozen=True, slots=True)
class Demand:
    """The load to plan for.

    Attributes:
        rate: requests of one image per second, over all servers.
        p99: seconds.
        headroom: fraction (0..1) of each server's capacity kept free, for bursts, loss of a server, a rollout.
        cores: per server; None for as many as measured.
        price: per core-hour, in any currency; None for no cost.
    """

    rate: float
    p99: float
    headroom: float = 0.3
    cores: int | None = None
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The model compared with one measured point, in seconds; ``predicted`` is None if the model predicts overload."""

    rate: float
    measured: float
    predicted: float | None


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """The answer for one variant.

    Attributes:
        rate_per_server: the highest within the objective; the planned one is that less the head-room.
        servers: None: no number of servers keeps the objective. low, high: for the interval of the measured times.
        breaks_first: the resource of a server that is used up first.
        used: of each resource at the planned rate, 0..1.
        cpu_seconds: of one request at that rate.
        cost_per_million: predictions, of the servers as planned. cpu_cost_per_million: of the CPU time alone.
    """

    name: str
    rate_per_server: float
    planned_rate: float
    servers: int | None
    low: int | None
    high: int | None
    cores: int | None
    breaks_first: str
    used: dict[str, float]
    cpu_seconds: float
    batch: float
    cost_per_million: float | None
    cpu_cost_per_million: float | None
    checks: list[Check]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The plans of all variants, and what they have in common."""

    demand: Demand
    cores: int
    gateways: int
    variants: list[VariantPlan]
    warnings: list[str]


def plan(records: Sequence[Record], demand: Demand) -> Plan:
    """The plan for ``demand``, from files of one model on one machine.

    Raises:
        CapacityError: the files do not belong together, or lack what is needed.
    """
    first = records[0]
    for other in records[1:]:
        if (other.stamp.artefacts, other.stamp.cpu_model) != (first.stamp.artefacts, first.stamp.cpu_model):
            shared = {name for name, text in first.stamp.artefacts.items() if other.stamp.artefacts.get(name) == text}
            if not shared or other.stamp.cpu_model != first.stamp.cpu_model:
                raise CapacityError("the files are of different artefacts or processors; measure all of them alike")
    found_on = _cores(first)
    cores = demand.cores or found_on
    gateways = first.processes.get("gateway", 1)
    known, lacking = measured_of(records)
    variants = [_variant(measured, first, demand, cores) for measured in known]
    warnings = [f"left out: {text}" for text in lacking] + _warnings(first, demand, found_on, variants)
    return Plan(demand, cores, gateways, variants, warnings)


def _variant(measured: Measured, record: Record, demand: Demand, cores: int) -> VariantPlan:
    replicas, gateways = record.processes.get(measured.name, 1), record.processes.get("gateway", 1)
    server = ServerModel(measured, gateways, replicas, cores)
    here = replace(server, cores=_cores(record))
    most = server.most(demand.p99)
    planned = most * (1 - demand.headroom)
    count = _count(demand.rate, planned)
    spread = measured.spread
    low, high = (
        _count(demand.rate, replace(server, factor=1 + sign * spread).most(demand.p99) * (1 - demand.headroom))
        if spread is not None
        else None
        for sign in (-1, 1)
    )
    # Servers share the rate evenly: each gets somewhat less than it was planned for.
    each = demand.rate / count if count else planned
    hours = cores * demand.price / 3600 if demand.price is not None else None
    cpu = server.cpu(each) if each else server.cpu(1.0)
    return VariantPlan(
        name=measured.name,
        rate_per_server=most,
        planned_rate=planned,
        servers=count,
        low=low,
        high=high,
        cores=count * cores if count else None,
        breaks_first=server.breaks_first(),
        used=server.used(each),
        cpu_seconds=cpu,
        batch=server.batches.size(each),
        cost_per_million=count * hours * 1e6 / demand.rate if hours is not None and count else None,
        cpu_cost_per_million=cpu * demand.price / 3600 * 1e6 if demand.price is not None else None,
        checks=[Check(point.rate, point.p99, _p99(here, point.rate)) for point in measured.points],
        warnings=_doubts(measured, planned, demand),
    )


def _count(rate: float, planned: float) -> int | None:
    return math.ceil(rate / planned) if planned > 0 else None


def _p99(server: ServerModel, rate: float) -> float | None:
    try:
        return server.p99(rate)
    except OverloadError:
        return None


def _cores(record: Record) -> int:
    return max(1, min(record.stamp.cores_by_affinity or 1, math.ceil(record.stamp.cores_by_cgroup or 1e9)))


def _doubts(measured: Measured, planned: float, demand: Demand) -> list[str]:
    found = list(measured.doubts)
    if planned <= 0:
        found.append(
            f"p99 of a request alone is {1000 * measured.alone:.3g} ms: no number of servers keeps "
            f"{1000 * demand.p99:.3g} ms; a faster variant or machine may"
        )
    elif planned > measured.highest:
        found.append(
            f"EXTRAPOLATION: {planned:,.0f} requests/s are planned for a server, at most {measured.highest:,.0f} were "
            "measured; measure there: `twinserve loadtest --mode step`, with the generator on other machines"
        )
    if len(measured.points) < _LEAST_POINTS:
        found.append(
            f"the queueing curve is checked at {len(measured.points)} rates only; for more give a second --from of "
            f"`twinserve loadtest --mode step --p99-limit-ms {1000 * demand.p99:g}`"
        )
    if measured.spread is None:
        found.append("no interval: a load test runs too few blocks for one; a file of `twinserve compare` has them")
    return found


def _warnings(record: Record, demand: Demand, found_on: int, variants: Sequence[VariantPlan]) -> list[str]:
    found = []
    measured_on = max(len(record.servers), 1)
    most = max((variant.servers or 0 for variant in variants), default=0)
    if most > measured_on:
        found.append(
            f"EXTRAPOLATION: {most} servers from a measurement of {measured_on}: that holds while they share nothing, "
            "neither cores, network nor load balancer"
        )
    if demand.cores is not None and demand.cores != found_on:
        found.append(f"EXTRAPOLATION: servers of {demand.cores} cores from one of {found_on}, with as many processes")
    if record.same_machine:
        found.append(
            "generator and server shared the machine: latencies are too long, rates within an objective too low"
        )
    if not record.processes:
        found.append("the file does not say how many processes served; one gateway and one model process are assumed")
    if record.missing:
        found.append("the measurement is incomplete: " + record.missing[0].text)
    return found
