"""A comparison as `twinserve compare` would write it, with numbers that were made up, not measured."""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import cache

import numpy as np

from loadtest.report.sample_answers import CLASSES, IntArray, confusion, make_answers, make_labels
from loadtest.report.sample_digits import draw_digits
from loadtest.report.sample_load_test import FIGURES, IMAGES, MEGABYTE, STAMP, draw_latencies, sample_model
from twinserve_loadtest.compare.scenario_results import arm_of
from twinserve_loadtest.record.blocks import Block, BlockPlan
from twinserve_loadtest.record.caveats import caveats_of
from twinserve_loadtest.record.comparison import (
    Comparison,
    CrossoverCell,
    Disagreement,
    GateResult,
    PairedAccuracy,
    Verdict,
)
from twinserve_loadtest.record.measurement import Dataset, Record
from twinserve_loadtest.record.percentiles import histogram_of, new_histogram
from twinserve_loadtest.record.run import (
    Answers,
    Arm,
    Effect,
    Interval,
    Latency,
    Look,
    RatePoint,
    RateSearch,
    Run,
    Stages,
)
from twinserve_loadtest.record.terms import ROLES, Scenario
from twinserve_loadtest.record.wire import encode_classes
from twinserve_loadtest.statistics.amdahl import amdahl_bound
from twinserve_loadtest.statistics.bootstrap import LatencyTable, cdf_band
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


@cache
def sample_comparison(baseline: str = "fp32", candidate: str = "int8", *, quick: bool = False) -> Record:
    """A whole comparison that ends in SHIP; one for all who ask: leave it as it is."""
    names = (baseline, candidate)
    labels = make_labels(IMAGES)
    answers = make_answers(labels, ("fp32", "int8", "int8-dynamic"))
    runs = [
        _run("single-stream", names, 1.0, 100),
        _run("open", names, 1.6, 150),
        _run("offline", names, 9.0, 20, images=64),
        Run("accuracy", {name: _answered(name, labels, answers[name]) for name in names}, images_per_request=64),
    ]
    record = Record(
        created="2026-01-31T12:20:00+00:00",
        command=f"twinserve compare {baseline} {candidate} --seed 1",
        stamp=STAMP,
        model=sample_model(names),
        dataset=Dataset("MNIST", "made up for a test", IMAGES, full=True),
        runs={run.scenario: run for run in runs},
        rates=_rates(names),
        settings={"precision": 0.05, "quick": quick, "seed": 1},
        comparison=Comparison(
            baseline,
            candidate,
            _verdict(candidate, baseline, decision_grade=not quick),
            accuracy=_accuracy(labels, answers[baseline], answers[candidate]),
            costs=[_cost("artefact_bytes", names, 2, 1024), _cost("added_bytes", names, 3, MEGABYTE)],
            amdahl=amdahl_bound({name: _stages(name) for name in names}, *names, 1.36),
            crossover=_crossover(),
        ),
    )
    return replace(record, caveats=caveats_of(record))


def _run(name: Scenario, names: tuple[str, str], factor: float, requests: int, images: int = 1) -> Run:
    arms, blocks = {}, []
    rng = np.random.default_rng(5)
    for number, arm in enumerate(names):
        units = []
        mine = []
        for pair in range(PAIRS):
            shaken = factor * FIGURES[arm][0] * float(rng.normal(1, 0.03))
            taken = draw_latencies(shaken, requests, seed=100 * pair + number)
            units.append([histogram_of(taken)])
            per_second = FIGURES[arm][1] if name == "offline" else 1e6 / float(taken.mean())
            seconds = requests * images / per_second / float(rng.normal(1, 0.03))
            plan = BlockPlan(name, name, "main", ROLES[number], pair, 0, requests, images, None, 1)
            mine.append(Block(arm, plan, seconds, requests, requests * images, 0, units[-1][0], 10.0 * pair))
        cpu = {"offline": 1000 / FIGURES[arm][1], "open": 1.4 * FIGURES[arm][0]}.get(name)
        found = replace(arm_of(mine), stages=_stages(arm), cpu_seconds_per_1000_images=cpu)
        band = cdf_band(LatencyTable(units), QUANTILES, np.random.default_rng(3))
        arms[arm] = replace(found, latency=replace(found.latency, band=band))
        blocks += mine
    first, second = (arms[arm] for arm in names)
    if name == "offline":
        effects = [
            _effect(name, "throughput", "images/s", first.images_per_second, second.images_per_second, larger=True)
        ]
    else:
        wanted = ("p50", "p90") if name == "single-stream" else ("p50", "p95", "p99")
        effects = [
            _effect(name, key, "us", first.latency.at(key) or 1.0, second.latency.at(key) or 1.0, larger=False)
            for key in wanted
        ]
    control = [
        Effect(name, e.metric, "speedup", e.unit, e.baseline, e.baseline, Interval(1.004, 0.98, 1.03), "none", PAIRS)
        for e in effects
    ]
    return Run(
        name,
        arms,
        images,
        300.0 if name == "open" else None,
        effects=effects,
        control=control,
        looks=[Look(12, 0.5, 0.003, 0.997, 0.08), Look(PAIRS, 1.0, 0.05, 0.954, 0.045)],
        blocks=blocks,
        pairs=PAIRS,
        stopped="precise",
    )


def _answered(name: str, labels: IntArray, given: IntArray) -> Arm:
    correct, seconds = int((given == labels).sum()), IMAGES / FIGURES[name][1] * 1.1
    share = wilson_interval(correct, IMAGES)
    answers = Answers(correct, IMAGES, 1.0, share, confusion(labels, given), encode_classes(given))
    latency = Latency(new_histogram(), 0, {})
    return Arm(IMAGES // 64, 0, IMAGES, seconds, IMAGES / seconds, latency, answers=answers)


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


def _accuracy(labels: IntArray, first: IntArray, second: IntArray) -> PairedAccuracy:
    counts = paired_counts(labels, first, second)
    p = non_inferiority_p(counts, MARGIN)
    differing = np.flatnonzero(first != second)
    return PairedAccuracy(
        images=IMAGES,
        labels=encode_classes(labels),
        both_correct=counts.both,
        only_baseline_correct=counts.only_baseline,
        only_candidate_correct=counts.only_candidate,
        both_wrong=counts.neither,
        difference=tango_interval(counts),
        mcnemar_p=mcnemar_exact(counts),
        margin=MARGIN,
        non_inferiority_p=p,
        non_inferior=p < 0.025,
        disagreement_count=len(differing),
        disagreements=_disagreements(labels, first, second, differing),
    )


def _disagreements(labels: IntArray, first: IntArray, second: IntArray, differing: IntArray) -> list[Disagreement]:
    pictures = draw_digits(labels[differing])
    rng = np.random.default_rng(8)
    found = []
    for index, picture in zip(differing, pictures, strict=True):
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


def _stages(name: str) -> Stages:
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
    return Stages(split, total, 2400)


def _rates(names: tuple[str, str]) -> RateSearch:
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
    return RateSearch("p99", 20.0, 0.001, dict(sustained), points, effect)


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
        STAMP.isa,
        decision_grade,
    )
