"""``twinserve compare --against FILE``: what changed since an earlier comparison of the same two variants.

Each comparison states a ratio of candidate and baseline that were interleaved on one machine; the quotient of two such
ratios says how the candidate's advantage moved. The runs are independent, so on the log scale their half-widths add in
squares. A change is claimed when the interval of the quotient excludes 1 and the quotient exceeds the larger of both
noise floors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from twinserve_loadtest.compare.effects import side_of
from twinserve_loadtest.record.run import Effect, Interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twinserve_loadtest.record.comparison import Comparison
    from twinserve_loadtest.record.measurement import Record

Direction = Literal["better", "worse", "none", "unknown"]

_CONFIDENCE = 0.95


class NotComparableError(Exception):
    """The earlier record cannot be compared with this one; the message says why."""


@dataclass(frozen=True, slots=True)
class EffectChange:
    """One figure in both comparisons: its ratio then and now, and the quotient now / then with its 95 % interval."""

    scenario: str
    metric: str
    before: Interval
    now: Interval
    quotient: Interval
    direction: Direction


@dataclass(frozen=True, slots=True)
class Change:
    """What changed since an earlier comparison.

    Attributes:
        since: when the earlier one was made.
        outcome_before: its verdict.
        stamp: what differs between the machines, artefacts and servers, in words; empty: nothing that decides.
        gates: name -> outcome then and now, of those gates that differ.
        only_in_one: figures that one of the two lacks, so that nothing is said of them.
    """

    since: str
    outcome_before: str
    outcome: str
    stamp: list[str]
    gates: dict[str, tuple[str, str]]
    effects: list[EffectChange]
    only_in_one: list[str]


def check_comparable(
    record: Record, baseline: str, candidate: str, source: str, model: str | None = None
) -> Comparison:
    """The comparison in an earlier record; ``model`` None: of any model.

    Raises:
        NotComparableError: it is a load test, or of another model or other variants.
    """
    found = record.comparison
    if found is None:
        raise NotComparableError(f"{source}: is a load test; --against takes a result of `twinserve compare`")
    if (found.baseline, found.candidate) != (baseline, candidate):
        raise NotComparableError(
            f"{source}: compares {found.baseline} with {found.candidate}, not {baseline} with {candidate}"
        )
    if model not in (None, record.model.name):
        raise NotComparableError(f"{source}: compares variants of {record.model.name}, not of {model}")
    return found


def change_since(earlier: Record, record: Record) -> Change:
    """How ``record`` differs from ``earlier``; both are comparisons of the same variants."""
    was, now = earlier.comparison, record.comparison
    assert was is not None
    assert now is not None
    before, after = _valid(earlier), _valid(record)
    gates_before = {gate.name: gate.outcome for gate in was.verdict.gates}
    gates_now = {gate.name: gate.outcome for gate in now.verdict.gates}
    return Change(
        since=earlier.created,
        outcome_before=was.verdict.outcome,
        outcome=now.verdict.outcome,
        stamp=list(_differences(earlier, record)),
        gates={
            name: (gates_before.get(name, "not set"), gates_now.get(name, "not set"))
            for name in {**gates_before, **gates_now}
            if gates_before.get(name) != gates_now.get(name)
        },
        effects=[_changed(before[key], after[key]) for key in after if key in before],
        only_in_one=[" ".join(filter(None, key)) for key in sorted(before.keys() ^ after.keys())],
    )


def _valid(record: Record) -> dict[tuple[str, str], Effect]:
    return {
        (effect.scenario, effect.metric): effect
        for effect in record.effects()
        if effect.interval is not None and record.is_valid(effect)
    }


def _changed(before: Effect, now: Effect) -> EffectChange:
    first, second = before.interval, now.interval
    assert first is not None
    assert second is not None
    estimate = second.estimate / first.estimate
    half = math.hypot(_half_width(first), _half_width(second))
    quotient = Interval(estimate, estimate * math.exp(-half), estimate * math.exp(half), _CONFIDENCE)
    floors = [floor for floor in (before.noise_floor, now.noise_floor) if floor is not None]
    side = side_of(1.0, estimate, quotient.low, quotient.high, max(floors, default=None))
    if now.kind == "ratio":
        side = -side
    directions: tuple[Direction, Direction, Direction] = ("worse", "none", "better")
    return EffectChange(now.scenario, now.metric, first, second, quotient, directions[side + 1])


def _half_width(interval: Interval) -> float:
    """On the log scale, the larger side, at 95 %."""
    half = max(math.log(interval.high / interval.estimate), math.log(interval.estimate / interval.low))
    if half == 0.0:
        # Counted, not sampled.
        return 0.0
    normal = NormalDist()
    return half * normal.inv_cdf((1 + _CONFIDENCE) / 2) / normal.inv_cdf((1 + interval.confidence) / 2)


def _differences(earlier: Record, record: Record) -> Iterator[str]:
    was, now = earlier.stamp, record.stamp
    compared: list[tuple[str, Any, Any]] = [
        ("instruction set", was.isa, now.isa),
        ("processor", was.cpu_model, now.cpu_model),
        ("cores", was.cores_by_cgroup or was.cores_by_affinity, now.cores_by_cgroup or now.cores_by_affinity),
        ("test set", earlier.dataset.line, record.dataset.line),
        ("quick", bool(earlier.settings.get("quick")), bool(record.settings.get("quick"))),
    ]
    for what, old, new in (
        ("artefact", was.artefacts, now.artefacts),
        ("server", was.server, now.server),
        ("package", was.packages, now.packages),
        ("runtime", was.runtime, now.runtime),
    ):
        compared += [(f"{what} {key}", old.get(key), new.get(key)) for key in sorted({**old, **new})]
    for what, before, after in compared:
        if before != after:
            yield f"{what}: {_short(before)} then, {_short(after)} now"


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"
