"""One figure for each question and variant, for the table, the terminal and the picture.

A figure is taken from one run for all variants, never from two that cannot be held against each other: of the runs
that were given, the one that asked most variants. Figures marked invalid are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.record.terms import EQUAL_LOAD
from twinserve_loadtest.report.document import Loads, Served, Value
from twinserve_loadtest.report.scenarios import conditions_of, load_of
from twinserve_loadtest.report.throughput import throughput_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twinserve_loadtest.record.measurement import Record
    from twinserve_loadtest.record.run import Run
    from twinserve_loadtest.report.inputs import Inputs


def served_by_variant(inputs: Inputs) -> tuple[dict[str, Served], Loads]:
    """Every variant that answered anything, and under which load its figures were taken."""
    waited, p50, p99 = _latencies(inputs)
    busy, throughput = _throughputs(inputs)
    added = _widest(added_at_batch_limit(record) for record in inputs.measured)
    seconds = _widest(_test_set_seconds(record) for record in inputs.measured)
    names = dict.fromkeys((*p50, *p99, *throughput, *added, *seconds))
    served = {
        name: Served(
            p50_us=p50.get(name),
            p99_us=p99.get(name),
            images_per_second=throughput.get(name, Value(None)),
            added_bytes=added.get(name),
            test_set_seconds=seconds.get(name),
        )
        for name in names
    }
    loads = Loads(
        latency=conditions_of(waited) if waited else "",
        throughput=conditions_of(busy) if busy else "",
        latency_short=load_of(waited) if waited else "",
        throughput_short=load_of(busy) if busy else "",
    )
    return served, loads


def _widest(found: Iterable[dict[str, float]]) -> dict[str, float]:
    """Of the run that asked most variants; the first of them."""
    return max(found, key=len, default={})


def _latencies(inputs: Inputs) -> tuple[Run | None, dict[str, float], dict[str, float]]:
    """Medians and 99th percentiles of one run: the one that carries both for most variants, else most medians."""
    asked = [
        (run, _percentile(run, "p50"), _percentile(run, "p99"))
        for scenario in EQUAL_LOAD
        for record in inputs.measured
        if (run := record.runs.get(scenario)) is not None
    ]
    known = [found for found in asked if found[1]]
    return max(known, key=lambda found: (len(found[2]), len(found[1])), default=(None, {}, {}))


def _percentile(run: Run, percentile: str) -> dict[str, float]:
    return {
        name: us
        for name, arm in run.arms.items()
        if run.is_valid(name, "latency") and (us := arm.latency.at(percentile)) is not None
    }


def _throughputs(inputs: Inputs) -> tuple[Run | None, dict[str, Value]]:
    best: tuple[Run | None, dict[str, Value]] = (None, {})
    for record in inputs.measured:
        run = record.runs.get("offline")
        if run is None:
            continue
        valid = {name: arm for name, arm in run.arms.items() if run.is_valid(name, "throughput") and arm.images}
        if len(valid) > len(best[1]):
            best = run, {name: _value(record, run, name) for name in valid}
    return best


def _value(record: Record, run: Run, name: str) -> Value:
    found = throughput_interval(record, run, name)
    return Value(run.arms[name].images_per_second, found.low if found else None, found.high if found else None)


def added_at_batch_limit(record: Record) -> dict[str, float]:
    """Bytes that each model adds after a full batch, or after the latest stage before it that all of them tell."""
    told: Mapping[str, Mapping[str, float]] = {
        name: variant.memory.added_by_stage
        for name, variant in record.model.variants.items()
        if variant.memory is not None and variant.memory.added_by_stage
    }
    for stage in ("batch_limit", "first_inference", "load"):
        if told and all(stage in stages for stages in told.values()):
            return {name: float(stages[stage]) for name, stages in told.items()}
    return {}


def _test_set_seconds(record: Record) -> dict[str, float]:
    run = record.runs.get("accuracy")
    arms = run.arms if run is not None else {}
    return {
        name: arm.seconds
        for name, arm in arms.items()
        if (found := arm.answers or arm.quality) is not None and found.coverage >= 1
    }
