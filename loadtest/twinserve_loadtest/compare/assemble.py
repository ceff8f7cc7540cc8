"""From measurements to the finished comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twinserve_loadtest.compare.accuracy import TestImages, compare_accuracy
from twinserve_loadtest.compare.amdahl import amdahl_bound, stage_split
from twinserve_loadtest.compare.caveats import caveats
from twinserve_loadtest.compare.crossover import crossover_cells
from twinserve_loadtest.compare.design import Role
from twinserve_loadtest.compare.effects import whole_units
from twinserve_loadtest.compare.rate_ladder import Objective, slo_result
from twinserve_loadtest.compare.scenario_results import scenario_result
from twinserve_loadtest.compare.sizing import SINGLE_STREAM
from twinserve_loadtest.compare.verdict import Evidence, judge
from twinserve_loadtest.record.comparison import Comparison
from twinserve_loadtest.record.findings import Claim, Effect, Interval, Remark, Resources, StageSplit
from twinserve_loadtest.record.load_results import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twinserve_loadtest.compare.gates import Gate
    from twinserve_loadtest.compare.measurements import Measurements
    from twinserve_loadtest.record.stamp import Stamp

_ROLES: tuple[Role, Role] = ("baseline", "candidate")
#: Without a gate on accuracy the loss is tested against half a percentage point.
_DEFAULT_MARGIN = 0.005
_UNKNOWN: Claim = "unknown"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the experiment does not know: the model, the data, the machine, the request of the user."""

    created: str
    command: str
    stamp: Stamp
    model: str
    version: str
    #: By variant, from the manifest and the server: sha256, bytes, quantization, engine, ...
    variants: dict[str, dict[str, Any]]
    dataset: dict[str, Any]
    test: TestImages
    gates: Sequence[Gate]
    objective: Objective = field(default_factory=Objective)
    memory: dict[str, Memory] = field(default_factory=dict)
    #: Scenario -> why the generator, not the server, set its figures.
    invalid: Mapping[str, Sequence[str]] = field(default_factory=dict)
    same_machine: bool = True
    threads: int = 1


def assemble(found: Measurements, about: Surroundings) -> Comparison:
    """The comparison with its verdict; parts that were not measured are named in ``missing``."""
    settings = found.settings
    scenarios = {plan.name: scenario_result(plan, found, about.invalid.get(plan.name, ())) for plan in found.scenarios}
    margin = next((gate.threshold for gate in about.gates if gate.rule.kind == "points"), _DEFAULT_MARGIN)
    missing = list(found.missing)
    accuracy = None
    if len(found.accuracy) == len(_ROLES):
        first, second = ((settings.key(role), found.accuracy[settings.key(role)]) for role in _ROLES)
        accuracy = compare_accuracy(about.test, first, second, margin, settings.confidence)
    if accuracy is None:
        missing.append(Remark("accuracy", "Accuracy was not measured on both variants."))
    floor = found.floors("server").get("p99")
    slo = slo_result(found.blocks, settings, about.objective, floor)
    resources = {settings.key(role): _resources(role, found, about) for role in _ROLES}
    costs = _costs(resources[settings.key("baseline")], resources[settings.key("candidate")])
    splits = _stage_splits(found)
    # With one in flight the stages add up to the latency; under load they overlap, and waiting grows with work.
    alone = splits.get(SINGLE_STREAM, {})
    observed = next((e.interval for e in found.effects.get(SINGLE_STREAM, []) if e.metric == "p50"), None)
    bound = amdahl_bound(
        alone, settings.key("baseline"), settings.key("candidate"), observed.estimate if observed else None
    )
    effects = [effect for run in scenarios.values() for effect in run.effects]
    evidence = Evidence(
        effects=[*effects, *([slo.effect] if slo is not None and slo.effect is not None else []), *costs],
        accuracy=accuracy,
        candidate_errors=_candidate_errors(found),
        errors=found.errors,
        invalid={name: "; ".join(run.invalid) for name, run in scenarios.items() if run.invalid},
    )
    return Comparison(
        created=about.created,
        command=about.command,
        stamp=about.stamp,
        model=about.model,
        version=about.version,
        baseline=settings.key("baseline"),
        candidate=settings.key("candidate"),
        variants=about.variants,
        dataset=about.dataset,
        seeds={"experiment": settings.seed},
        settings=_settings(found, about),
        scenarios=scenarios,
        accuracy=accuracy,
        resources=resources,
        costs=costs,
        stages=alone,
        amdahl=bound,
        slo=slo,
        crossover=crossover_cells(found.blocks, settings, slo, about.threads),
        caveats=caveats(
            settings,
            about.stamp,
            about.dataset,
            list(scenarios.values()),
            accuracy,
            slo,
            same_machine=about.same_machine,
        ),
        missing=missing,
        verdict=judge(
            about.gates,
            evidence,
            candidate=settings.key("candidate"),
            isa=about.stamp.isa,
            decision_grade=not settings.quick and not any(remark.code == "interrupted" for remark in missing),
            confidence=settings.confidence,
        ),
        stages_by_scenario=splits,
    )


def _settings(found: Measurements, about: Surroundings) -> dict[str, Any]:
    settings = found.settings
    return {
        "quick": settings.quick,
        "precision": settings.precision,
        "confidence": settings.confidence,
        "time_budget_s": settings.seconds,
        "measured_s": round(found.seconds, 1),
        "looks": list(settings.looks),
        "slo_limit_ms": about.objective.limit_ms,
        "images": settings.images,
        "gates": {gate.name: gate.limit for gate in about.gates},
    }


def _variant(role: Role, found: Measurements) -> str:
    return found.settings.baseline if role == "baseline" else found.settings.candidate


def _resources(role: Role, found: Measurements, about: Surroundings) -> Resources:
    name = _variant(role, found)
    described, memory = about.variants.get(name, {}), about.memory.get(name)
    by_scenario = {}
    for scenario, effects in found.effects.items():
        cpu = next((effect for effect in effects if effect.metric == "cpu"), None)
        value = (cpu.baseline if role == "baseline" else cpu.candidate) if cpu is not None else None
        if value is not None:
            by_scenario[scenario] = value
    return Resources(
        artefact_bytes=int(described.get("bytes", 0)),
        parameter_bytes=_whole(memory.parameter_bytes if memory else described.get("parameter_bytes")),
        process_pss_bytes=_whole(memory.resident_pss if memory else None),
        added_bytes={stage: int(value) for stage, value in memory.added_by_stage.items()} if memory else {},
        cpu_seconds_per_1000_images=by_scenario,
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _costs(baseline: Resources, candidate: Resources) -> list[Effect]:
    """Sizes are counted, memory is read once from each variant's process: ratios without an interval."""
    stages = ("batch_limit", "first_inference", "load")
    stage = next((s for s in stages if s in baseline.added_bytes and s in candidate.added_bytes), "")
    pairs: list[tuple[str, float | None, float | None, str]] = [
        ("artefact_bytes", baseline.artefact_bytes, candidate.artefact_bytes, ""),
        ("parameter_bytes", baseline.parameter_bytes, candidate.parameter_bytes, ""),
        (
            "added_bytes",
            baseline.added_bytes.get(stage),
            candidate.added_bytes.get(stage),
            f"over a process without a model, after {stage.replace('_', ' ')}; one process each" if stage else "",
        ),
        ("process_pss_bytes", baseline.process_pss_bytes, candidate.process_pss_bytes, "one process each"),
    ]
    return [_cost(metric, first, second, note) for metric, first, second, note in pairs]


def _cost(metric: str, first: float | None, second: float | None, note: str) -> Effect:
    interval, claim = None, _UNKNOWN
    if first and second is not None and first > 0 and second > 0:
        interval = Interval(second / first, second / first, second / first, 1.0)
    claim = (
        "unknown" if interval is None else "better" if interval.high < 1 else "worse" if interval.low > 1 else "none"
    )
    note = note if interval is not None else "the server did not tell"
    return Effect("", metric, "ratio", "bytes", first, second, interval, claim, 0, None, note)


def _stage_splits(found: Measurements) -> dict[str, dict[str, StageSplit]]:
    splits: dict[str, dict[str, StageSplit]] = {}
    for plan in found.scenarios:
        units = whole_units(found.blocks, plan.name, "main").values()
        for role in _ROLES:
            split = stage_split(plan.name, [result for unit in units for result in unit[role]])
            if split is not None:
                splits.setdefault(plan.name, {})[found.settings.key(role)] = split
    return splits


def _candidate_errors(found: Measurements) -> tuple[int, int]:
    """Failed and sent requests of the candidate where load was bearable: not on the ladder of rates."""
    results = [b.result for b in found.blocks if b.plan.phase == "main" and b.plan.role == "candidate"]
    results += [result for key, result in found.accuracy.items() if key == found.settings.key("candidate")]
    return sum(result.errors for result in results), sum(result.requests for result in results)
