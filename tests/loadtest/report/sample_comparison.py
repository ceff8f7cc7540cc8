"""A comparison as `twinserve compare` would write it, with numbers that were made up, not measured."""

from __future__ import annotations

import base64

import numpy as np

from loadtest.report.sample_answers import CLASSES, IntArray, confusion, make_answers, make_labels
from loadtest.report.sample_digits import draw_digits
from loadtest.report.sample_load_test import (
    FIGURES,
    IMAGES,
    MEGABYTE,
    MEMORY_STAGES,
    STAMP,
    draw_latencies,
    histogram_of,
)
from twinserve_loadtest.record.comparison import Comparison, encode_classes
from twinserve_loadtest.record.findings import (
    AccuracyResult,
    AmdahlBound,
    ArmResult,
    Block,
    CrossoverCell,
    Disagreement,
    Effect,
    GateResult,
    Interval,
    Look,
    RatePoint,
    Remark,
    Resources,
    ScenarioResult,
    SloResult,
    StageSplit,
    Verdict,
)
from twinserve_loadtest.record.percentiles import new_histogram, read_percentiles
from twinserve_loadtest.record.stamp import Stamp
from twinserve_loadtest.statistics.bootstrap import BlockTable, cdf_band
from twinserve_loadtest.statistics.paired import (
    mcnemar_exact,
    non_inferiority_p,
    paired_counts,
    tango_interval,
    wilson_interval,
)

PAIRS = 24
MARGIN = 0.005
QUANTILES = [*np.round(np.linspace(0.05, 0.95, 19), 2).tolist(), 0.97, 0.98, 0.99, 0.995, 0.998, 0.999]


def sample_comparison(baseline: str = "fp32", candidate: str = "int8", *, quick: bool = False) -> Comparison:
    """A whole comparison that ends in SHIP."""
    names = (baseline, candidate)
    accuracy = _accuracy(names)
    scenarios = {
        "single_stream": _scenario("single_stream", names, 1.0, 100),
        "server": _scenario("server", names, 1.6, 150),
        "offline": _scenario("offline", names, 9.0, 20, images=64),
    }
    return Comparison(
        created="2026-01-31T12:20:00+00:00",
        command=f"twinserve compare {baseline} {candidate} --seed 1",
        stamp=Stamp(**STAMP),  # type: ignore[arg-type]
        model="mnist",
        version="1",
        baseline=baseline,
        candidate=candidate,
        variants={
            name: {
                "sha256": STAMP["artefacts"][name],  # type: ignore[index]
                "bytes": int(FIGURES[name][2] * 1024),
                "engine": "x86",
                "quantization": {"method": "none" if name == "fp32" else "static", "dtype": "INT8"},
            }
            for name in names
        },
        dataset={"name": "MNIST", "source": "made up for a test", "test_images": IMAGES, "full": True},
        seeds={"experiment": 1},
        settings={"precision": 0.05, "quick": quick},
        scenarios=scenarios,
        accuracy=accuracy,
        resources={
            name: Resources(
                int(FIGURES[name][2] * 1024),
                int(FIGURES[name][2] * 1000),
                int((180 + FIGURES[name][3]) * MEGABYTE),
                {stage: int(share * FIGURES[name][3] * MEGABYTE) for stage, share in MEMORY_STAGES.items()},
                {"offline": 1000 / FIGURES[name][1], "server": 1.4 * FIGURES[name][0]},
            )
            for name in names
        },
        costs=[
            _cost("artefact_bytes", names, 2, 1024),
            _cost("added_bytes", names, 3, MEGABYTE),
        ],
        stages={name: _stages(name) for name in names},
        amdahl=AmdahlBound(
            "single_stream",
            "inference",
            0.42,
            1.72,
            2.6,
            1.35,
            1.36,
            "Inference is 42% of a request to fp32 (one in flight): int8 cannot gain more than 1.72x here. "
            "Its inference takes 0.38 of the time, which makes 1.35x likely; 1.36x was measured.",
        ),
        slo=_slo(names),
        crossover=_crossover(),
        caveats=[Remark("shared-machine", "Generator and server shared one machine and its cores.")],
        missing=[],
        verdict=_verdict(candidate, baseline, decision_grade=not quick),
    )


def _scenario(name: str, names: tuple[str, str], factor: float, requests: int, images: int = 1) -> ScenarioResult:
    arms, blocks = {}, []
    rng = np.random.default_rng(5)
    for number, arm in enumerate(names):
        units = []
        for pair in range(PAIRS):
            shaken = factor * FIGURES[arm][0] * float(rng.normal(1, 0.03))
            taken = draw_latencies(shaken, requests, seed=100 * pair + number)
            units.append([histogram_of(taken)])
            per_second = FIGURES[arm][1] if name == "offline" else 1e6 / float(taken.mean())
            seconds = requests * images / per_second / float(rng.normal(1, 0.03))
            blocks.append(
                Block(
                    name,
                    "main",
                    arm,
                    "candidate" if number else "baseline",
                    pair,
                    10.0 * pair,
                    seconds,
                    requests,
                    requests * images,
                    0,
                    "",
                )
            )
        table = BlockTable(units)
        merged = new_histogram()
        for unit in units:
            merged.add(unit[0])
        known, _ = read_percentiles(merged)
        mine = [block for block in blocks if block.arm == arm]
        seconds = sum(block.seconds for block in mine)
        arms[arm] = ArmResult(
            PAIRS * requests,
            PAIRS * requests * images,
            0,
            seconds,
            "",
            {key: float(known[key]) if key in known else None for key in ("p50", "p90", "p95", "p99", "p99.9")},
            cdf_band(table, QUANTILES, np.random.default_rng(3)),
            PAIRS * requests * images / seconds,
        )
    first, second = (arms[arm] for arm in names)
    if name == "offline":
        effects = [
            _effect(name, "throughput", "images/s", first.images_per_second, second.images_per_second, larger=True)
        ]
    else:
        wanted = ("p50", "p90") if name == "single_stream" else ("p50", "p95", "p99")
        effects = [
            _effect(name, key, "us", first.percentiles_us[key] or 1.0, second.percentiles_us[key] or 1.0, larger=False)
            for key in wanted
        ]
    control = [
        Effect(name, e.metric, "speedup", e.unit, e.baseline, e.baseline, Interval(1.004, 0.98, 1.03), "none", PAIRS)
        for e in effects
    ]
    return ScenarioResult(
        name,
        "",
        arms,
        effects,
        control,
        [Look(12, 0.5, 0.003, 0.997, 0.08), Look(PAIRS, 1.0, 0.05, 0.954, 0.045)],
        blocks,
        PAIRS,
        300.0 if name == "server" else None,
        images,
        "precise",
    )


def _effect(scenario: str, metric: str, unit: str, first: float, second: float, *, larger: bool) -> Effect:
    ratio = second / first if larger else first / second
    width = {"p50": 0.02, "p90": 0.03, "p95": 0.05, "p99": 0.09}.get(metric, 0.025)
    interval = Interval(ratio, ratio * (1 - width), ratio * (1 + width))
    claim = "better" if interval.low > 1.03 else "worse" if interval.high < 1 / 1.03 else "none"
    return Effect(scenario, metric, "speedup", unit, first, second, interval, claim, PAIRS, 1.03)  # type: ignore[arg-type]


def _cost(metric: str, names: tuple[str, str], column: int, scale: int) -> Effect:
    first, second = (FIGURES[name][column] * scale for name in names)
    ratio = second / first
    return Effect("", metric, "ratio", "bytes", first, second, Interval(ratio, ratio, ratio), "better", 0)


def _accuracy(names: tuple[str, str]) -> AccuracyResult:
    labels = make_labels(IMAGES)
    answers = make_answers(labels, ("fp32", "int8", "int8-dynamic"))
    first, second = (answers[name] for name in names)
    counts = paired_counts(labels, first, second)
    p = non_inferiority_p(counts, MARGIN)
    parting = np.flatnonzero(first != second)
    return AccuracyResult(
        images=IMAGES,
        class_names=[str(digit) for digit in range(CLASSES)],
        item_shape=[28, 28],
        labels=encode_classes(labels),
        predictions={name: encode_classes(answers[name]) for name in names},
        accuracy={name: wilson_interval(int((answers[name] == labels).sum()), IMAGES) for name in names},
        both_correct=counts.both,
        only_baseline_correct=counts.only_baseline,
        only_candidate_correct=counts.only_candidate,
        both_wrong=counts.neither,
        difference=tango_interval(counts),
        mcnemar_p=mcnemar_exact(counts),
        margin=MARGIN,
        non_inferiority_p=p,
        non_inferior=p < 0.025,
        confusion={name: confusion(labels, answers[name]) for name in names},
        disagreement_count=len(parting),
        disagreements=_disagreements(labels, first, second, parting),
        test_set_seconds={name: IMAGES / FIGURES[name][1] * 1.1 for name in names},
    )


def _disagreements(labels: IntArray, first: IntArray, second: IntArray, parting: IntArray) -> list[Disagreement]:
    pictures = draw_digits(labels[parting])
    rng = np.random.default_rng(8)
    found = []
    for index, picture in zip(parting, pictures, strict=True):
        probabilities: list[list[float]] = []
        for answer in (first[index], second[index]):
            row = rng.dirichlet(np.full(CLASSES, 0.3)) * 0.4
            row[answer] += 0.6
            probabilities.append([round(float(p), 4) for p in row])
        found.append(
            Disagreement(
                int(index),
                int(labels[index]),
                int(first[index]),
                int(second[index]),
                probabilities[0],
                probabilities[1],
                base64.b64encode(picture.tobytes()).decode(),
            )
        )
    return found


def _stages(name: str) -> StageSplit:
    median, *_, share = FIGURES[name]
    total = median * 1.08 / 1000
    fixed = 0.00098 * 1.08
    split = {
        "queue": 0.05 * fixed,
        "transfer": 0.10 * fixed,
        "preprocess": 0.02 * fixed,
        "inference": share * total,
        "postprocess": 0.02 * fixed,
        "gateway": 0.08 * fixed,
    }
    split["client"] = total - sum(split.values())
    return StageSplit("single_stream", split, total, 2400)


def _slo(names: tuple[str, str]) -> SloResult:
    points, sustained = [], {}
    for name in names:
        limit = {"fp32": 1900.0, "int8": 4300.0}.get(name, 2200.0)
        for rate in (250.0, 500.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0, 5000.0):
            if rate < 1.5 * limit:
                p99 = 1000 * FIGURES[name][0] * 2.0 / max(0.05, 1 - rate / (1.15 * limit))
                points.append(RatePoint(name, rate, min(rate, limit), {"p99": p99}, 0.0, p99 < 20_000))
        sustained[name] = limit
    first, second = (sustained[name] for name in names)
    effect = _effect("slo", "slo_rate", "requests/s", first, second, larger=True)
    return SloResult("p99", 20.0, 0.001, dict(sustained), effect, points)


def _crossover() -> list[CrossoverCell]:
    cells = []
    for threads in (1, 2):
        for rate in (None, 500.0, 2000.0):
            for column, batch in enumerate((1, 2, 4, 8, 16, 32, 64)):
                ratio = (1.0 + 0.5 * column) / threads**0.5 if rate is None else 0.9 + 0.12 * column
                interval = Interval(ratio, ratio * 0.93, ratio * 1.07)
                if rate == 2000.0 and batch >= 32:
                    cells.append(CrossoverCell(batch, threads, rate, "p50", None, None, None, 0, "too late to send"))
                else:
                    metric = "throughput" if rate is None else "p50"
                    cells.append(CrossoverCell(batch, threads, rate, metric, 5000, 5000 * ratio, interval, 6))
    return cells


def _verdict(candidate: str, baseline: str, *, decision_grade: bool) -> Verdict:
    gates = [
        GateResult("max_accuracy_loss", "<= 0.5 pp", "+0.00 pp (-0.07 to +0.07)", "pass", "the interval lies inside"),
        GateResult("max_size_ratio", "<= 0.5 x", "0.25 x", "pass", "counted, not sampled"),
        GateResult("min_speedup.throughput", ">= 1.2 x", "4.2 x (4.1 to 4.3)", "pass", "the interval lies above"),
        GateResult("min_speedup.p99", ">= 0.9 x", "1.36 x (1.24 to 1.48)", "pass", "the interval lies above"),
    ]
    return Verdict(
        "SHIP",
        f"{candidate} is a quarter the size of {baseline}, does 4.2 times its work offline and is as accurate.",
        ["All 4 gates passed."],
        gates,
        str(STAMP["isa"]),
        decision_grade,
    )
