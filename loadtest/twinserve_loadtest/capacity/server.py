"""A model of one server: how much of its gateways, model processes and cores a rate uses, and how long callers wait.

A request passes a gateway (M/G/1, each gateway gets an equal part of the requests), waits for a model process (greedy
batches), and with more processes than cores also for a core (M/G/c). The 99th percentiles of the waits are added to
that of a request alone: the waits are rarely long at the same time, so the sum errs on the long side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinserve_loadtest.statistics.queueing import (
    GreedyBatches,
    OverloadError,
    allen_cunneen,
    erlang_c,
    wait_quantile,
)

if TYPE_CHECKING:
    from twinserve_loadtest.capacity.measured import Measured

SHARE = 0.99
_STEPS = 60


@dataclass(frozen=True, slots=True)
class ServerModel:
    """One server with one variant.

    Attributes:
        measured: its times; multiplied by ``factor``, for the ends of an interval.
        gateways: processes.
        replicas: model processes of the variant.
        cores: that they share.
    """

    measured: Measured
    gateways: int
    replicas: int
    cores: int
    factor: float = 1.0

    @property
    def batches(self) -> GreedyBatches:
        """The queue in front of the model processes."""
        line = self.measured.service.scaled(self.factor)
        return GreedyBatches(line.fixed, line.each, self.replicas, self.measured.batch_limit)

    def cpu(self, rate: float) -> float:
        """CPU seconds of one request: gateway, and its part of a batch."""
        size = self.batches.size(rate)
        return self.factor * (self.measured.gateway_cpu + self.measured.cpu.of(size) / size)

    def used(self, rate: float) -> dict[str, float]:
        """How much of each resource a rate takes, 0..1; above 1: more than there is."""
        batches = self.batches
        below = min(rate, 0.999 * batches.most)
        return {
            "gateways": rate * self.factor * self.measured.gateway_cpu / self.gateways,
            "model processes": rate / batches.most,
            "cores": rate * self.cpu(below) / self.cores,
        }

    def p99(self, rate: float) -> float:
        """Seconds.

        Raises:
            OverloadError: the server cannot answer so many.
        """
        if max(self.used(rate).values()) >= 1:
            raise OverloadError(f"{rate:,.0f} requests/s are more than one server can answer")
        batches, gateway = self.batches, self.factor * self.measured.gateway_cpu
        each = rate / self.gateways
        waits = wait_quantile(allen_cunneen(each, gateway, 1), each * gateway, SHARE)
        waits += batches.wait(rate, SHARE)
        waits += batches.seconds(batches.size(rate)) - batches.seconds(1)
        if self.gateways + self.replicas > self.cores:
            waits += self._for_a_core(rate)
        return self.factor * self.measured.alone + waits

    def most(self, p99: float) -> float:
        """The highest rate within ``p99`` seconds; 0: not even a request alone."""
        low, high = 0.0, 1.0
        while max(self.used(high).values()) < 1:
            high *= 2
        for _ in range(_STEPS):
            middle = (low + high) / 2
            try:
                kept = self.p99(middle) <= p99
            except OverloadError:
                kept = False
            low, high = (middle, high) if kept else (low, middle)
        return low

    def breaks_first(self) -> str:
        """The resource that is used up first as the rate grows."""
        used = self.used(self.most(float("inf")))
        return max(used, key=lambda name: used[name])

    def _for_a_core(self, rate: float) -> float:
        """Gateway and model process take a core in turn; each may find all of them taken."""
        size = self.batches.size(rate)
        jobs = rate + rate / size
        service = rate * self.cpu(rate) / jobs
        busy = erlang_c(self.cores, jobs * service)
        return 2 * wait_quantile(allen_cunneen(jobs, service, self.cores), busy, SHARE)
