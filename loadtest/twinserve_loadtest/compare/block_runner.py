"""The seam between the experiment and whatever sends the requests: a block goes in, its raw result comes out.

The live load generator and the simulator both are a :class:`BlockRunner`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from twinserve_loadtest.compare.design import BlockPlan
from twinserve_loadtest.record.findings import Block
from twinserve_loadtest.record.percentiles import new_histogram


class ArmUnavailableError(Exception):
    """The server or one variant stopped answering: the measurement ends here, what was measured is kept."""


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What one block measured on the client's side, and what the server told of it."""

    seconds: float
    requests: int
    images: int
    errors: int
    #: Client-side latency of answered requests, microseconds; open loop: from the intended send.
    histogram: HdrHistogram
    #: CPU seconds of the variant's model processes during the block; None: the server does not tell.
    cpu_seconds: float | None = None
    mean_batch_size: float | None = None
    #: Seconds summed over the answered requests: "queue", ..., "server_total", "client_total".
    stage_seconds: dict[str, float] = field(default_factory=dict)
    lateness_p99_us: float | None = None
    generator_cpu_share: float | None = None
    steal_share: float | None = None
    invalid: str = ""
    #: Class answered for each image sent, in order; NOT_ANSWERED where there is none. Accuracy blocks only.
    predictions: NDArray[np.uint16] | None = None
    #: FP32, images x classes. Accuracy blocks only.
    probabilities: NDArray[np.float32] | None = None


class BlockRunner(Protocol):
    """Sends one block's requests to one variant and waits for the answers."""

    def run(self, arm: str, block: BlockPlan) -> BlockResult:
        """Run one block.

        Raises:
            ArmUnavailableError: no answers can be had any more.
        """
        ...


@dataclass(frozen=True, slots=True)
class MeasuredBlock:
    """A block that was run: plan, arm, result, and when."""

    arm: str
    plan: BlockPlan
    result: BlockResult
    started_s: float

    @property
    def unit(self) -> int:
        """The unit (A B B A) that the block belongs to."""
        return self.plan.pair // 2

    def to_finding(self, arm: str) -> Block:
        """The block as it stands in the result file, under the arm's name there."""
        result, plan = self.result, self.plan
        return Block(
            scenario=plan.scenario,
            phase="control" if plan.phase == "control" else "main",
            arm=arm,
            role=plan.role,
            pair=plan.pair,
            started_s=round(self.started_s, 4),
            seconds=result.seconds,
            requests=result.requests,
            images=result.images,
            errors=result.errors,
            histogram=encode_histogram(result.histogram),
            cpu_seconds=result.cpu_seconds,
            mean_batch_size=result.mean_batch_size,
            offered_rate=plan.rate,
            lateness_p99_us=result.lateness_p99_us,
            generator_cpu_share=result.generator_cpu_share,
            steal_share=result.steal_share,
            invalid=result.invalid,
        )


def encode_histogram(histogram: HdrHistogram) -> str:
    """HdrHistogram V2, compressed, base64: any HdrHistogram library reads it."""
    text: Any = histogram.encode()
    return text.decode("ascii") if isinstance(text, bytes) else str(text)


def merge_histograms(histograms: list[HdrHistogram]) -> HdrHistogram:
    """One histogram of all their values. Percentiles are read from it, never averaged over its parts."""
    merged = new_histogram()
    for histogram in histograms:
        merged.add(histogram)
    return merged


def histogram_of(latencies_us: NDArray[np.float64]) -> HdrHistogram:
    """A histogram of latencies in microseconds."""
    histogram = new_histogram()
    values, counts = np.unique(np.maximum(latencies_us, 1.0).astype(np.int64), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    return histogram
