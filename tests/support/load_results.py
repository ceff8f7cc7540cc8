"""A small, complete results file of a load test, with known figures."""

from __future__ import annotations

from typing import Any

from twinserve_loadtest.record.load_results import (
    Accuracy,
    DatasetInfo,
    Generator,
    Latency,
    ModelInfo,
    Results,
    Scenario,
    VariantInfo,
    VariantResult,
)
from twinserve_loadtest.record.percentiles import new_histogram

LABELS = ["zero", "one"]


def make_latency(p50_us: int = 500, p99_us: int | None = 900) -> Latency:
    """A latency of which only two percentiles matter."""
    histogram = new_histogram()
    histogram.record_value(p50_us, 1000)
    text = histogram.encode().decode("ascii")
    return Latency(text, 1000, float(p50_us), p50_us, p50_us, p50_us, p50_us, p99_us, None, p50_us, {"p99.9": "few"})


def make_variant_result(
    variant: str,
    *,
    p50_us: int = 500,
    p99_us: int | None = 900,
    images_per_second: float = 1000.0,
    correct: int = 990,
    total: int = 1000,
    coverage: float = 1.0,
    invalid: dict[str, list[str]] | None = None,
) -> VariantResult:
    """One scenario's figures of one variant."""
    return VariantResult(
        variant=variant,
        requests=1000,
        failures={},
        images=total,
        seconds=1.0,
        images_per_second=images_per_second,
        requests_per_second=1000.0,
        latency=make_latency(p50_us, p99_us),
        stages=None,
        accuracy=Accuracy(correct, total, coverage, [[correct, total - correct], [0, 0]]),
        batch_sizes={1: 1000},
        generator=Generator(0.3, 0.6, 80, 120, 0, None, invalid or {}),
    )


def make_results(scenarios: list[Scenario] | None = None, **changes: Any) -> Results:
    """fp32 (4,000 KB) against int8 (1,000 KB) on the full toy set."""
    variants = {
        "fp32": VariantInfo("fp32", "aa", 4_096_000, 32, 0.5, manifest={"quantization": {"method": "none"}}),
        "int8": VariantInfo("int8", "bb", 1_024_000, 64, 0.5, manifest={"quantization": {"method": "static"}}),
    }
    fields: dict[str, Any] = {
        "created": "2026-01-01T00:00:00+00:00",
        "command": "twinserve loadtest",
        "target": "127.0.0.1:8500",
        "dataset": DatasetInfo("toy", "a test", 1000, full=True),
        "model": ModelInfo("toy", "1", [4, 4], LABELS, variants),
        "scenarios": scenarios
        or [
            Scenario(
                "accuracy", {}, {"fp32": make_variant_result("fp32"), "int8": make_variant_result("int8", correct=985)}
            )
        ],
    }
    return Results(**{**fields, **changes})
