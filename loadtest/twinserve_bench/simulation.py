"""A machine that does not exist: a :class:`~twinserve_loadtest.compare.runner.Runner` whose truth is known.

It draws latencies like those of a noisy, shared 2-core box: a slow drift (an Ornstein-Uhlenbeck process),
bursts in which a neighbour takes part of the CPU, autocorrelation from request to request, and a heavy tail
(Pareto) of preempted requests. All of it scales with the request, so that the planted slow-down is the true
ratio of *every* percentile, whatever happened. Time is simulated too: :meth:`SimulatedMachine.now` is the
clock to give to the experiment.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from twinserve_loadtest.compare.runner import ArmUnavailableError
from twinserve_loadtest.record.blocks import Block, BlockPlan
from twinserve_loadtest.record.percentiles import histogram_of

_STEP = 0.25  # seconds between two points of the drift
_HORIZON = 3600.0
_BLOCK_OVERHEAD = 0.004


@dataclass(frozen=True, slots=True)
class Noise:
    """How unquiet the machine is."""

    drift_sd: float = 0.06
    drift_seconds: float = 60.0
    seconds_between_bursts: float = 12.0
    burst_seconds: float = 1.5
    #: A burst multiplies latencies by about this (log-normal around it).
    burst_factor: float = 1.6
    request_sd: float = 0.12
    request_correlation: float = 0.5
    #: Share of preempted requests, and the Pareto shape of how much longer they take.
    preempted_share: float = 0.015
    preempted_shape: float = 2.5


@dataclass(frozen=True, slots=True)
class SimulatedVariant:
    """What a simulated variant does: its speed against the base, and how often it is wrong."""

    #: Every request takes this times the base.
    slowdown: float = 1.0
    #: Images (by index) whose correct answer it turns into a wrong one.
    wrong: frozenset[int] = field(default_factory=frozenset)


class SimulatedMachine:
    """Answers blocks with drawn latencies.

    Args:
        variants: by name.
        labels: the true class of each test image (N).
        seed: of the machine's noise; another seed is another day.
        dies_at: seconds after which the server is gone; None: never.
    """

    def __init__(
        self,
        variants: dict[str, SimulatedVariant],
        labels: NDArray[np.int64],
        *,
        seed: int,
        noise: Noise | None = None,
        request_seconds: float = 0.8e-3,
        image_seconds: float = 0.05e-3,
        dies_at: float | None = None,
    ) -> None:
        self._variants = variants
        self._labels = labels
        self._noise = noise or Noise()
        self._rng = np.random.default_rng([seed, 20])
        self._request_seconds = request_seconds
        self._image_seconds = image_seconds
        self._dies_at = dies_at
        self._time = 0.0
        self._drift = self._draw_drift()
        self._edges, self._levels = self._draw_bursts()

    def now(self) -> float:
        """Simulated seconds since the start."""
        return self._time

    def run(self, arm: str, block: BlockPlan) -> Block:
        """Draw one block (the :class:`~twinserve_loadtest.compare.runner.Runner` protocol)."""
        if self._dies_at is not None and self._time >= self._dies_at:
            raise ArmUnavailableError(f"{arm}: the simulated server is gone")
        base = self._request_seconds + self._image_seconds * block.images_per_request
        service = self._service_times(block.requests, base * self._variants[arm].slowdown)
        latency, seconds = service, float(service.sum())
        if block.rate is not None:
            arrivals = np.cumsum(np.random.default_rng(block.seed).exponential(1 / block.rate, block.requests))
            seconds = float(arrivals[-1] + service[-1])
            if block.phase == "slo":
                # Elsewhere requests do not wait for each other: a queue would change the planted ratio.
                latency = _with_queueing(arrivals, service)
        self._time += seconds + _BLOCK_OVERHEAD
        images = block.requests * block.images_per_request
        asked = (block.first_image + np.arange(images)) % len(self._labels)
        predictions, probabilities = self._answers(arm, asked) if block.phase == "accuracy" else (None, None)
        return Block(
            arm=arm,
            plan=block,
            seconds=seconds,
            requests=block.requests,
            images=images,
            errors=0,
            histogram=histogram_of(latency * 1e6),
            cpu_seconds=float(service.sum()) * 0.7,
            mean_batch_size=float(block.images_per_request),
            stage_seconds={
                "inference": float(service.sum()) * 0.4,
                "queue": float(service.sum()) * 0.1,
                "server_total": float(service.sum()) * 0.7,
                "client_total": float(service.sum()),
            },
            predictions=predictions,
            probabilities=probabilities,
        )

    def _service_times(self, requests: int, base: float) -> NDArray[np.float64]:
        noise, rng = self._noise, self._rng
        rho = noise.request_correlation
        own = signal.lfilter([np.sqrt(1 - rho * rho)], [1.0, -rho], rng.standard_normal(requests))
        times = base * np.exp(noise.request_sd * np.asarray(own))
        preempted = rng.random(requests) < noise.preempted_share
        times *= np.where(preempted, 1 + rng.pareto(noise.preempted_shape, requests), 1.0)
        at = self._time + np.cumsum(times)
        drift = self._drift[np.minimum((at / _STEP).astype(np.int64), len(self._drift) - 1)]
        place = np.searchsorted(self._edges, at, side="right")
        level = self._levels[np.minimum(place // 2, len(self._levels) - 1)]
        return np.asarray(times * np.exp(drift) * np.where(place % 2 == 1, level, 1.0), np.float64)

    def _draw_drift(self) -> NDArray[np.float64]:
        points = int(_HORIZON / _STEP)
        keep = np.exp(-_STEP / self._noise.drift_seconds)
        pushes = self._rng.standard_normal(points) * self._noise.drift_sd
        pushes[1:] *= np.sqrt(1 - keep * keep)
        return np.asarray(signal.lfilter([1.0], [1.0, -keep], pushes), np.float64)

    def _draw_bursts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Alternating starts and ends of bursts, and each burst's factor."""
        count = int(2 * _HORIZON / self._noise.seconds_between_bursts) + 2
        starts = np.cumsum(self._rng.exponential(self._noise.seconds_between_bursts, count))
        ends = starts + self._rng.exponential(self._noise.burst_seconds, count)
        ends[:-1] = np.minimum(ends[:-1], starts[1:])
        factors = np.exp(self._rng.normal(np.log(self._noise.burst_factor), 0.25, count))
        return np.column_stack([starts, ends]).ravel(), factors

    def _answers(self, arm: str, asked: NDArray[np.int64]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
        classes = int(self._labels.max()) + 1
        answers = self._labels[asked].copy()
        wrong = np.isin(asked, list(self._variants[arm].wrong))
        answers[wrong] = (answers[wrong] + 1) % classes
        probabilities = np.full((len(asked), classes), 0.1 / (classes - 1), np.float32)
        probabilities[np.arange(len(asked)), answers] = 0.9
        return answers.astype(np.uint16), probabilities


def _with_queueing(arrivals: NDArray[np.float64], service: NDArray[np.float64]) -> NDArray[np.float64]:
    """Time in the system of one first-come-first-served server (Lindley's recursion, unrolled)."""
    done = np.cumsum(service)
    return np.asarray(done + np.maximum.accumulate(arrivals - (done - service)) - arrivals, np.float64)
