"""One figure for each question and variant, for the table, the terminal and the picture.

A figure is taken from one run for all variants, never from two that cannot be held against each other: of the
runs that were given, the one that asked most variants. Figures marked invalid are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.report.document import Estimate, Loads, Served
from twinserve_loadtest.report.scenarios import conditions_compared, conditions_tested
from twinserve_loadtest.report.throughput import throughput_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twinserve_loadtest.report.inputs import Inputs

#: Figures by variant, and the load they were taken under.
Asked = tuple[dict[str, float], str]
#: Medians and 99th percentiles (microseconds) by variant, and the load both were taken under.
Waited = tuple[dict[str, float], dict[str, float], str]

#: One request in flight before the open loop: the same load on any machine.
_LATENCY_SCENARIOS = ("single_stream", "single-stream", "server", "open")


def served_by_variant(inputs: Inputs) -> dict[str, Served]:
    """Every variant that answered anything."""
    p50, p99, _ = _latencies(inputs)
    throughput, _ = _widest(_throughputs(inputs))
    added, _ = _widest(_added(inputs))
    seconds, _ = _widest(_test_set_seconds(inputs))
    intervals = _intervals(inputs)
    names = dict.fromkeys((*p50, *p99, *throughput, *added, *seconds))
    return {
        name: Served(
            p50_us=p50.get(name),
            p99_us=p99.get(name),
            images_per_second=_estimate(throughput.get(name), intervals.get(name, [])),
            added_bytes=added.get(name),
            test_set_seconds=seconds.get(name),
        )
        for name in names
    }


def loads(inputs: Inputs) -> Loads:
    """Under which load the figures of :func:`served_by_variant` were taken."""
    return Loads(_latencies(inputs)[2], _widest(_throughputs(inputs))[1])


def _widest(found: Iterator[Asked]) -> Asked:
    """The run that asked most variants; the first of them."""
    return max((asked for asked in found if asked[0]), key=lambda asked: len(asked[0]), default=({}, ""))


def _latencies(inputs: Inputs) -> Waited:
    """Median and 99th percentile of one run: the one that carries both for most variants, else most medians."""
    runs = sorted(_runs(inputs), key=lambda run: _LATENCY_SCENARIOS.index(run[0]))
    found = [waited for _, waited in runs if waited[0]]
    return max(found, key=lambda waited: (len(waited[1]), len(waited[0])), default=({}, {}, ""))


def _runs(inputs: Inputs) -> Iterator[tuple[str, Waited]]:
    for comparison in inputs.compared:
        for run in comparison.scenarios.values():
            if run.name in _LATENCY_SCENARIOS and not run.invalid:
                p50, p99 = (
                    {name: us for name, arm in run.arms.items() if (us := arm.percentiles_us.get(key)) is not None}
                    for key in ("p50", "p99")
                )
                yield run.name, (p50, p99, conditions_compared(run))
    for results in inputs.results:
        for scenario in results.scenarios:
            if scenario.name in _LATENCY_SCENARIOS:
                valid = {n: r.latency for n, r in scenario.variants.items() if "latency" not in r.generator.invalid}
                p50 = {name: float(got.p50_us) for name, got in valid.items() if got.p50_us is not None}
                p99 = {name: float(got.p99_us) for name, got in valid.items() if got.p99_us is not None}
                yield scenario.name, (p50, p99, conditions_tested(scenario))


def _throughputs(inputs: Inputs) -> Iterator[Asked]:
    for comparison in inputs.compared:
        run = comparison.scenarios.get("offline")
        if run is not None and not run.invalid:
            yield {name: arm.images_per_second for name, arm in run.arms.items()}, conditions_compared(run)
    for results in inputs.results:
        scenario = results.scenario("offline")
        if scenario is not None:
            valid = {
                name: result.images_per_second
                for name, result in scenario.variants.items()
                if "throughput" not in result.generator.invalid and result.images
            }
            yield valid, conditions_tested(scenario)


def _intervals(inputs: Inputs) -> dict[str, list[tuple[float, float, float]]]:
    """Variant → (throughput, low, high) of every comparison that gives an interval."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for comparison in inputs.compared:
        run = comparison.scenarios.get("offline")
        for name, arm in run.arms.items() if run else ():
            low, high = throughput_interval(run, name) if run else (None, None)
            if low is not None and high is not None:
                found.setdefault(name, []).append((arm.images_per_second, low, high))
    return found


def _estimate(value: float | None, intervals: list[tuple[float, float, float]]) -> Estimate:
    """``value`` with the interval that belongs to it, and to no other run's figure."""
    for of, low, high in intervals:
        if of == value:
            return Estimate(value, low, high)
    return Estimate(value)


def _added(inputs: Inputs) -> Iterator[Asked]:
    for comparison in inputs.compared:
        yield added_at_batch_limit({name: found.added_bytes for name, found in comparison.resources.items()}), ""
    for results in inputs.results:
        memory = {name: about.memory for name, about in results.model.variants.items() if about.memory}
        yield added_at_batch_limit({name: found.added_by_stage for name, found in memory.items()}), ""


def added_at_batch_limit(by_variant: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Bytes that each model adds after a full batch, or after the latest stage before it that all of them tell."""
    told = {name: stages for name, stages in by_variant.items() if stages}
    for stage in ("batch_limit", "first_inference", "load"):
        if told and all(stage in stages for stages in told.values()):
            return {name: float(stages[stage]) for name, stages in told.items()}
    return {}


def _test_set_seconds(inputs: Inputs) -> Iterator[Asked]:
    for comparison in inputs.compared:
        if comparison.accuracy:
            yield dict(comparison.accuracy.test_set_seconds), ""
    for results in inputs.results:
        scenario = results.scenario("accuracy")
        if scenario is not None:
            whole = {
                name: result.seconds
                for name, result in scenario.variants.items()
                if result.accuracy and result.accuracy.coverage >= 1
            }
            yield whole, ""
