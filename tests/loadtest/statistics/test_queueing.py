"""The formulas of queueing against values from the literature, against each other, and against simulated queues."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from twinserve_loadtest.statistics.queueing import GreedyBatches, OverloadError, allen_cunneen, erlang_c, wait_quantile


@pytest.mark.parametrize(
    ("servers", "load", "known"),
    # Of one server the share of time that it is busy; of two, load^2 / (2 + load); 10 and 100 from published tables.
    [(1, 0.3, 0.3), (2, 1.0, 1 / 3), (2, 1.5, 2.25 / 3.5), (10, 8.0, 0.4092), (100, 90.0, 0.2170)],
)
def test_erlang_c_has_its_known_values(servers: int, load: float, known: float) -> None:
    assert erlang_c(servers, load) == pytest.approx(known, abs=5e-4)


def test_a_queue_that_gets_more_than_it_can_do_has_no_wait() -> None:
    with pytest.raises(OverloadError):
        erlang_c(2, 2.0)
    with pytest.raises(OverloadError):
        GreedyBatches(fixed=1e-3, each=1e-3, servers=1, limit=10).wait(1000, 0.99)


def test_allen_cunneen_is_exact_where_exact_results_are_known() -> None:
    # M/M/1: rho / (mu - lambda). M/D/1: half of it. M/M/2: C / (2 mu - lambda).
    assert allen_cunneen(80, 0.01, 1) == pytest.approx(0.8 / (100 - 80))
    assert allen_cunneen(80, 0.01, 1, services=0) == pytest.approx(0.8 / (100 - 80) / 2)
    assert allen_cunneen(150, 0.01, 2) == pytest.approx(2.25 / 3.5 / (200 - 150))


def test_the_quantile_of_the_wait_is_that_of_an_exponential() -> None:
    # M/M/1 with rho 0.8: P(W > t) = 0.8 exp(-20 t).
    assert wait_quantile(0.04, 0.8, 0.99) == pytest.approx(np.log(80) / 20)
    assert wait_quantile(0.001, 0.005, 0.99) == 0


def simulated(queue: GreedyBatches, rate: float, seed: int = 1) -> tuple[float, float]:
    """p99 of the wait, and mean batch of an arrival, of 200,000 Poisson arrivals."""
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, 200_000))
    free = [0.0] * queue.servers
    waits, batches, first = np.empty(len(arrivals)), [], 0
    while first < len(arrivals):
        start = max(heapq.heappop(free), arrivals[first])
        last = min(int(np.searchsorted(arrivals, start, side="right")), first + queue.limit)
        waits[first:last] = start - arrivals[first:last]
        batches.append(last - first)
        heapq.heappush(free, start + queue.seconds(last - first))
        first = last
    return float(np.quantile(waits, 0.99)), float(np.mean(batches))


@pytest.mark.parametrize("servers", [1, 2, 4])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_the_wait_of_greedy_batches_is_that_of_the_simulated_queue(servers: int, share: float) -> None:
    queue = GreedyBatches(fixed=300e-6, each=100e-6, servers=servers, limit=64)
    wait, batch = simulated(queue, share * queue.most)
    assert queue.wait(share * queue.most, 0.99) == pytest.approx(wait, rel=0.2)
    assert queue.size(share * queue.most) == pytest.approx(batch, rel=0.3)
