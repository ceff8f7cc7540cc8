"""A small, complete record of a load test, with known figures."""

from __future__ import annotations

from typing import Any

from twinserve_loadtest.record.measurement import Dataset, Model, Record, Variant
from twinserve_loadtest.record.percentiles import new_histogram
from twinserve_loadtest.record.run import Answers, Arm, Generator, Latency, Run
from twinserve_loadtest.record.stamp import Stamp
from twinserve_loadtest.record.terms import Figure, Scenario
from twinserve_loadtest.statistics.paired import wilson_interval

LABELS = ["zero", "one"]


def make_latency(p50_us: int = 500, p99_us: int | None = 900) -> Latency:
    """A latency of which only two percentiles matter."""
    histogram = new_histogram()
    histogram.record_value(p50_us, 1000)
    percentiles: dict[str, float | None] = {"p50": p50_us, "p90": p50_us, "p95": p50_us, "p99": p99_us, "p99.9": None}
    return Latency(histogram, 1000, percentiles, p50_us, p50_us, p50_us)


def make_arm(
    *,
    p50_us: int = 500,
    p99_us: int | None = 900,
    images_per_second: float = 1000.0,
    correct: int = 990,
    total: int = 1000,
    coverage: float = 1.0,
    invalid: dict[Figure, list[str]] | None = None,
) -> Arm:
    """One scenario's figures of one variant."""
    confusion = [[correct, total - correct], [0, 0]]
    return Arm(
        requests=1000,
        failed=0,
        images=total,
        seconds=1.0,
        images_per_second=images_per_second,
        latency=make_latency(p50_us, p99_us),
        mean_batch_size=1.0,
        batch_sizes={1: 1000},
        answers=Answers(correct, total, coverage, wilson_interval(correct, total), confusion),
        generator=Generator(0.3, 0.6, 80, 120, 0, None, invalid or {}),
    )


def make_record(runs: dict[Scenario, Run] | None = None, **changes: Any) -> Record:
    """fp32 (4,000 KB) against int8 (1,000 KB) on the full toy set."""
    variants = {
        "fp32": Variant("fp32", "aa", 4_096_000, 32, 0.5, manifest={"quantization": {"method": "none"}}),
        "int8": Variant("int8", "bb", 1_024_000, 64, 0.5, manifest={"quantization": {"method": "static"}}),
    }
    fields: dict[str, Any] = {
        "created": "2026-01-01T00:00:00+00:00",
        "command": "twinserve loadtest",
        "stamp": Stamp(),
        "model": Model("toy", "1", [4, 4], LABELS, variants),
        "dataset": Dataset("toy", "a test", 1000, full=True),
        "runs": runs or {"accuracy": Run("accuracy", {"fp32": make_arm(), "int8": make_arm(correct=985)})},
        "target": "127.0.0.1:8500",
        "same_machine": False,
    }
    return Record(**{**fields, **changes})
