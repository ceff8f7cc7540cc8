"""Figures of one server from the files of load tests and comparisons: service times, CPU time, latency by rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Arm, Run

#: The stages that a busy model process runs for a batch, one after another.
_SERVICE = ("transfer", "preprocess", "inference", "postprocess")
_LEAST_BLOCKS = 4
#: A forward pass waits only for a core; moving the batch takes a little.
_BUSY = 3.0
#: Scenarios with independent single-image requests, which show what a gateway spends on one.
_SINGLE = ("open", "closed", "single-stream")


class CapacityError(Exception):
    """The files lack what a capacity model needs; the message says what is missing and how to measure it."""


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds of a batch: ``fixed + each * images``."""

    fixed: float
    each: float

    @classmethod
    def through(cls, small: tuple[float, float], large: tuple[float, float]) -> Line:
        """Through two points (images, seconds); neither part below 0."""
        (few, brief), (many, long) = small, large
        each = (long - brief) / (many - few) if many > few else brief / few
        each = min(max(each, 0.0), brief / few)
        return cls(brief - each * few, each)

    def scaled(self, factor: float) -> Line:
        """Both parts times ``factor``."""
        return Line(self.fixed * factor, self.each * factor)

    def of(self, images: float) -> float:
        """Seconds of a batch."""
        return self.fixed + self.each * images


@dataclass(frozen=True, slots=True)
class Point:
    """p99 measured in the open loop, at a rate per server."""

    rate: float
    p99: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One variant on one server. Seconds, and requests of one image per second.

    Attributes:
        service: a model process's time for a batch, moving it included.
        cpu: its CPU time.
        gateway_cpu: CPU time of a gateway for one request.
        alone: p99 of a request with no other in flight.
        points: the measured curve, by rate.
        highest: the most single-image requests answered per second.
        spread: relative half-width of the times' 95 % interval; None if there are too few blocks.
        doubts: reasons why the times may not be the server's.
    """

    name: str
    service: Line
    cpu: Line
    gateway_cpu: float
    alone: float
    batch_limit: int
    points: list[Point] = field(default_factory=list)
    highest: float = 0.0
    spread: float | None = None
    doubts: list[str] = field(default_factory=list)


def measured_of(records: Sequence[Record]) -> tuple[list[Measured], list[str]]:
    """Every variant with enough data in the files, and what is missing for the others.

    Raises:
        CapacityError: there is none.
    """
    names = list(dict.fromkeys(name for record in records for name in record.model.variants))
    found, lacking = [], []
    for name in names:
        try:
            found.append(_variant(name, records))
        except CapacityError as error:
            lacking.append(f"{name}: {error}")
    if not found:
        raise CapacityError("; ".join(lacking))
    return found, lacking


def _variant(name: str, records: Sequence[Record]) -> Measured:
    arms = [(record, run, run.arms[name]) for record in records for run in record.runs.values() if name in run.arms]
    alone = _first(arms, "single-stream")
    bulk = _first(arms, "offline")
    if alone is None or bulk is None:
        raise CapacityError(
            "the single-stream and the offline scenario are needed; `twinserve loadtest` and `compare` run both, "
            "`loadtest --mode step` neither"
        )
    p99 = alone.latency.at("p99")
    if p99 is None:
        raise CapacityError(
            f"single stream has {alone.latency.count} requests, p99 needs 662: measure longer (`--duration 10`)"
        )
    cpu = [(arm.mean_batch_size or 1.0, arm.cpu_seconds_per_1000_images) for arm in (alone, bulk)]
    gateway = [
        arm.gateway_cpu_seconds_per_1000_images
        for scenario in _SINGLE
        if (arm := _first(arms, scenario)) is not None and arm.gateway_cpu_seconds_per_1000_images is not None
    ]
    points = [(size, seconds / 1000 * size) for size, seconds in cpu if seconds is not None]
    if len(points) < len(cpu) or not gateway:
        raise CapacityError(
            "CPU time was not measured; give `twinserve loadtest` the server's --metrics-url, or run it on "
            "the server's machine"
        )
    service, cpu_line = Line.through(_service(alone), _service(bulk)), Line.through(points[0], points[1])
    limits = [v.max_batch_size for record in records if (v := record.model.variants.get(name)) and v.max_batch_size]
    return Measured(
        name=name,
        service=service,
        cpu=cpu_line,
        gateway_cpu=gateway[0] / 1000,
        alone=p99 / 1e6,
        batch_limit=min(limits, default=64),
        points=sorted(_points(name, records), key=lambda point: point.rate),
        highest=max(_rates(name, arms, records), default=0.0),
        spread=max((wide for _, run, _ in arms if (wide := _spread(run, name)) is not None), default=None),
        doubts=list(_doubts(name, arms, service, cpu_line)),
    )


def _doubts(name: str, arms: Sequence[tuple[Record, Run, Arm]], service: Line, cpu: Line) -> Iterator[str]:
    for _, run, _ in arms:
        if run.scenario == "single-stream":
            for why in run.problems("latency"):
                if why.startswith(f"{name}: ") or why in run.invalid:
                    yield f"p99 of a request alone is the generator's rather than the server's: {why}"
    if service.of(1) > _BUSY * cpu.of(1):
        yield (
            f"a batch of one took {service.of(1) / cpu.of(1):.1f} times its CPU time: other work held the cores; "
            "measure on a quiet machine"
        )


def _first(arms: Sequence[tuple[Record, Run, Arm]], scenario: str) -> Arm | None:
    return next((arm for _, run, arm in arms if run.scenario == scenario and arm.stages is not None), None)


def _service(arm: Arm) -> tuple[float, float]:
    assert arm.stages is not None
    return arm.mean_batch_size or 1.0, sum(arm.stages.seconds[stage] for stage in _SERVICE)


def _servers(record: Record) -> int:
    return max(len(record.servers), 1)


def _points(name: str, records: Sequence[Record]) -> Iterator[Point]:
    for record in records:
        run = record.runs.get("open")
        if run is not None and run.offered_rate and name in run.arms and run.is_valid(name, "latency"):
            p99 = run.arms[name].latency.at("p99")
            if p99 is not None:
                yield Point(run.offered_rate / _servers(record), p99 / 1e6)
        for point in record.rates.points if record.rates is not None else ():
            p99 = point.percentiles_us.get("p99")
            if point.arm == name and p99 is not None and not point.generator_bound:
                yield Point(point.offered_rate / _servers(record), p99 / 1e6)


def _rates(name: str, arms: Sequence[tuple[Record, Run, Arm]], records: Sequence[Record]) -> Iterator[float]:
    for record, run, arm in arms:
        if run.images_per_request == 1:
            yield arm.images_per_second / _servers(record)
    for record in records:
        for point in record.rates.points if record.rates is not None else ():
            if point.arm == name:
                yield point.achieved_rate * (1 - point.error_share) / _servers(record)


def _spread(run: Run, name: str) -> float | None:
    """Of CPU seconds an image over the blocks of a comparison, by Student's t."""
    each = [
        block.cpu_seconds / block.images
        for block in run.blocks
        if block.arm == name and block.cpu_seconds and block.images and not block.invalid
    ]
    if len(each) < _LEAST_BLOCKS:
        return None
    error = float(np.std(each, ddof=1)) / math.sqrt(len(each))
    return float(stats.t.ppf(0.975, len(each) - 1)) * error / float(np.mean(each))
