"""Detects figures that must not be used because the generator, not the server, was the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.record.percentiles import least_samples, merge_histograms
from twinserve_loadtest.record.run import Generator
from twinserve_loadtest.record.terms import Figure

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

    from twinserve_loadtest.generate.record import BlockRecord

CPU_LIMIT = 0.90
"""Of one core: above it the generator's single Python thread is taken to be the bottleneck."""
MACHINE_LIMIT = 0.97
"""Of all cores of a machine that generator and server share."""
SHARED_LIMIT = 0.25
"""Of all cores, the generator's part on a full machine."""
ACHIEVED_LIMIT = 0.99
"""Of the offered rate."""
LATENESS_LIMITS = {50: 0.20, 99: 1 / 3}
"""Of the latency at the same percentile: more of it is the generator's own. In the tail, generator and server that
share cores are stopped by the same pauses, so a larger part is in the nature of the machine; beyond a third it is no
longer the server's tail."""


def judge(record: BlockRecord, *, same_machine: bool = True) -> Generator:
    """The generator's resource use during ``record``, with the figures that are invalid.

    Args:
        record: One block, or several merged.
        same_machine: Whether the server runs on the generator's machine.
    """
    reading, spec = record.reading, record.spec
    invalid: dict[Figure, list[str]] = {"latency": [], "throughput": []}
    if spec.mode != "accuracy":
        busy = busy_reasons(record)
        invalid["latency"] += busy + late_reasons(record)
        invalid["throughput"] += busy
        if not busy and same_machine and spec.mode in ("closed", "offline"):
            invalid["throughput"] += _shared_reasons(record)
    if record.dropped:
        invalid["latency"].append(f"{record.dropped} of {record.scheduled} arrivals were never sent")
    if record.achieved_rate < ACHIEVED_LIMIT * record.offered_rate:
        reason = f"only {record.achieved_rate:.0f} of {record.offered_rate:.0f} requests/s were sent"
        invalid["latency"].append(reason)
        invalid["throughput"].append(reason)
    late = _lateness(record)
    return Generator(
        cpu_share=round(reading.cpu_share, 4),
        machine_cpu_share=round(reading.machine_cpu_share, 4),
        lateness_p50_us=_percentile(late, 50),
        lateness_p99_us=_percentile(late, 99),
        dropped=record.dropped,
        offered_rate=record.offered_rate if record.scheduled else None,
        invalid={figure: reasons for figure, reasons in invalid.items() if reasons},
    )


def busy_reasons(record: BlockRecord) -> list[str]:
    """Why the generator's CPU, not the server, set the pace; empty when it did not."""
    share = record.reading.cpu_share
    if share < CPU_LIMIT:
        return []
    return [f"the generator used {share:.0%} of its one core: it, not the server, set the pace"]


def late_reasons(record: BlockRecord) -> list[str]:
    """Why the generator's own lateness is a material part of the latency; empty when it is not."""
    late, latency = _lateness(record), merged_latency(record)
    reasons = []
    for percentile, limit in LATENESS_LIMITS.items():
        own, whole = _percentile(late, percentile), _percentile(latency, percentile)
        if own is not None and whole is not None and own > limit * whole:
            reasons.append(
                f"the generator was late by {own:,} µs at p{percentile}, {own / whole:.0%} of the latency there"
            )
    return reasons


def _shared_reasons(record: BlockRecord) -> list[str]:
    reading = record.reading
    own = reading.cpu_share / reading.cores
    if reading.machine_cpu_share < MACHINE_LIMIT or own < SHARED_LIMIT:
        return []
    return [
        f"all {reading.cores} cores were busy, {own:.0%} of them with the generator: "
        "a lower bound of what the server can do"
    ]


def _lateness(record: BlockRecord) -> HdrHistogram:
    return record.reading.send_lateness if record.scheduled else record.reading.timer_lateness


def merged_latency(record: BlockRecord) -> HdrHistogram:
    """Latencies of all variants that answered."""
    return merge_histograms(tally.histogram for tally in record.tallies.values())


def _percentile(histogram: HdrHistogram, percentile: int) -> int | None:
    if histogram.get_total_count() < least_samples(percentile):
        return None
    return int(histogram.get_value_at_percentile(percentile))
