"""From measurements to the finished record of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from twinserve_loadtest.compare.accuracy import TestImages, accuracy_run, compare_accuracy
from twinserve_loadtest.compare.crossover import crossover_cells
from twinserve_loadtest.compare.quality import compare_quality, quality_run
from twinserve_loadtest.compare.rate_ladder import Objective, rate_search
from twinserve_loadtest.compare.scenario_results import scenario_run
from twinserve_loadtest.compare.verdict import Evidence, judge
from twinserve_loadtest.record.caveats import caveats_of
from twinserve_loadtest.record.comparison import Comparison
from twinserve_loadtest.record.measurement import Dataset, Memory, Model, Record, Variant
from twinserve_loadtest.record.run import Effect, Interval, Remark, Run
from twinserve_loadtest.record.spread import summed
from twinserve_loadtest.record.terms import ROLES, Claim, Scenario
from twinserve_loadtest.statistics.amdahl import amdahl_bound
from twinserve_loadtest.statistics.quality import MetricError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twinserve_loadtest.compare.gates import Gate
    from twinserve_loadtest.compare.measurements import Measurements
    from twinserve_loadtest.record.comparison import AmdahlBound, PairedAccuracy, PairedQuality
    from twinserve_loadtest.record.stamp import Stamp
    from twinserve_loadtest.statistics.quality import QualityTest

#: Without a gate on accuracy, the loss is tested against half a percentage point.
_DEFAULT_MARGIN = 0.005


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the experiment does not know: the model, the data, the machine, the user's command."""

    created: str
    command: str
    stamp: Stamp
    model: Model
    dataset: Dataset
    test: TestImages
    gates: Sequence[Gate]
    #: For a model without classes, instead of right and wrong answers.
    quality: QualityTest | None = None
    objective: Objective = field(default_factory=Objective)
    #: The address of each; empty: a server started for this.
    servers: Sequence[str] = ()
    #: Of one server, as :attr:`Record.processes`.
    processes: Mapping[str, int] = field(default_factory=dict)
    #: Scenario -> why the generator, not the server, set its figures.
    invalid: Mapping[str, Sequence[str]] = field(default_factory=dict)
    same_machine: bool = True
    threads: int = 1
    #: Caveats known before anything was measured.
    caveats: Sequence[Remark] = ()


def assemble(found: Measurements, about: Surroundings) -> Record:
    """The record with its verdict; parts that were not measured are listed in ``missing``."""
    settings, missing = found.settings, list(found.missing)
    names = [settings.key(role) for role in ROLES]
    variants = {
        name: replace(about.model.variants[_variant(role, found)], name=name)
        for name, role in zip(names, ROLES, strict=True)
    }
    runs: dict[Scenario, Run] = {
        plan.traffic: scenario_run(plan, found, about.invalid.get(plan.name, ())) for plan in found.scenarios
    }
    accuracy, quality, why = _answers(found, about, names, runs)
    if accuracy is None and quality is None:
        missing.append(Remark("accuracy", f"Accuracy was not measured on both variants{why}.", "accuracy"))
    lost = _lost_server(found, about.servers)
    if lost:
        missing.append(Remark("server_lost", f"{lost[0].upper()}{lost[1:]}."))
    rates = rate_search(found.blocks, settings, about.objective, found.floors("open").get("p99"))
    record = Record(
        created=about.created,
        command=about.command,
        stamp=about.stamp,
        model=replace(about.model, variants=variants),
        dataset=about.dataset,
        runs=runs,
        target=",".join(about.servers),
        servers=list(about.servers),
        processes=dict(about.processes),
        rates=rates,
        settings=_settings(found, about),
        same_machine=about.same_machine,
        complete=not (accuracy is None and quality is None)
        and not any(remark.code in _CUT_SHORT for remark in missing),
        missing=missing,
    )
    costs = _costs(variants[names[0]], variants[names[1]])
    evidence = Evidence(
        effects=[*record.effects(), *costs],
        accuracy=accuracy,
        quality=quality,
        candidate_errors=_candidate_errors(found),
        errors=found.errors,
        invalid={name: "; ".join(run.invalid) for name, run in runs.items() if run.invalid},
        spoiled=lost,
    )
    compared = Comparison(
        baseline=names[0],
        candidate=names[1],
        verdict=judge(
            about.gates,
            evidence,
            candidate=names[1],
            isa=about.stamp.isa,
            decision_grade=not settings.quick and not any(remark.code in _CUT_SHORT for remark in missing),
            confidence=settings.confidence,
        ),
        accuracy=accuracy,
        quality=quality,
        costs=costs,
        amdahl=_amdahl(runs, names),
        crossover=crossover_cells(found.blocks, settings, rates, about.threads),
    )
    record = replace(record, comparison=compared)
    return replace(record, caveats=[*about.caveats, *caveats_of(record)])


_CUT_SHORT = ("interrupted", "ended_early", "server_lost")


def _lost_server(found: Measurements, servers: Sequence[str]) -> str:
    """Why the arms did not meet the same servers throughout; empty when they did, or there is only one.

    A server that is gone for a while takes its share of an arm's requests with it: what is left compares one arm on
    all servers with the other on some.
    """
    if len(servers) < 2:
        return ""
    shares = summed(block.servers for block in [*found.blocks, *found.accuracy.values()])
    gone = {server: share.failures["UNAVAILABLE"] for server, share in shares.items() if share.failures["UNAVAILABLE"]}
    if gone:
        told = ", ".join(f"{server} for {count:,} requests" for server, count in gone.items())
        return f"a server was unavailable ({told}): the variants did not run on the same {len(servers)} servers"
    ended = next((remark.text for remark in found.missing if remark.code == "ended_early"), "")
    return f"the {len(servers)} servers did not all stay up to the end: {ended.rstrip('.')}" if ended else ""


def _answers(
    found: Measurements, about: Surroundings, names: Sequence[str], runs: dict[Scenario, Run]
) -> tuple[PairedAccuracy | None, PairedQuality | None, str]:
    """Right and wrong answers, or the quality of a model without classes; or why there is neither. Adds the run."""
    if len(found.accuracy) != len(ROLES):
        return None, None, ""
    settings = found.settings
    first, second = ((name, found.accuracy[name]) for name in names)
    if about.quality is None:
        margin = next((gate.threshold for gate in about.gates if gate.rule.kind == "points"), _DEFAULT_MARGIN)
        runs["accuracy"] = accuracy_run(about.test, found.accuracy, settings.confidence)
        return compare_accuracy(about.test, first, second, margin, settings.confidence), None, ""
    try:
        gate = next((gate for gate in about.gates if gate.rule.kind == "quality"), None)
        quality, why = compare_quality(about.quality, first, second, gate, settings.confidence), ""
    except MetricError as error:
        quality, why = None, f": {error}"
    runs["accuracy"] = quality_run(quality, found.accuracy)
    return None, quality, why


def _settings(found: Measurements, about: Surroundings) -> dict[str, Any]:
    settings = found.settings
    return {
        "seed": settings.seed,
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


def _variant(role: str, found: Measurements) -> str:
    return found.settings.baseline if role == "baseline" else found.settings.candidate


def _amdahl(runs: Mapping[Scenario, Run], names: Sequence[str]) -> AmdahlBound | None:
    """With one in flight the stages add up to the latency; under load they overlap, and waiting grows with work."""
    run = runs.get("single-stream")
    if run is None:
        return None
    splits = {name: arm.stages for name, arm in run.arms.items() if arm.stages is not None}
    observed = next((effect.interval for effect in run.effects if effect.metric == "p50"), None)
    return amdahl_bound(splits, names[0], names[1], observed.estimate if observed else None)


def _costs(baseline: Variant, candidate: Variant) -> list[Effect]:
    """Sizes are counted, memory is read once from each variant's process: ratios without an interval."""
    before, after = baseline.memory or Memory(), candidate.memory or Memory()
    stages = ("batch_limit", "first_inference", "load")
    stage = next((s for s in stages if s in before.added_by_stage and s in after.added_by_stage), "")
    added = f"beyond a process without a model, after {stage.replace('_', ' ')}; one process each" if stage else ""
    pairs: list[tuple[str, float | None, float | None, str]] = [
        ("artefact_bytes", baseline.artefact_bytes, candidate.artefact_bytes, ""),
        ("parameter_bytes", before.parameter_bytes, after.parameter_bytes, ""),
        ("added_bytes", before.added_by_stage.get(stage), after.added_by_stage.get(stage), added),
        ("process_pss_bytes", before.resident_pss, after.resident_pss, "one process each"),
    ]
    return [_cost(metric, first, second, note) for metric, first, second, note in pairs]


def _cost(metric: str, first: float | None, second: float | None, note: str) -> Effect:
    if not first or not second:
        return Effect("", metric, "ratio", "bytes", first, second, None, "unknown", 0, None, "the server did not say")
    ratio = second / first
    claim: Claim = "better" if ratio < 1 else "worse" if ratio > 1 else "none"
    return Effect("", metric, "ratio", "bytes", first, second, Interval(ratio, ratio, ratio, 1.0), claim, 0, None, note)


def _candidate_errors(found: Measurements) -> tuple[int, int]:
    """Failed and sent requests of the candidate where load was bearable: not on the ladder of rates."""
    results = [b for b in found.blocks if b.plan.phase == "main" and b.plan.role == "candidate"]
    results += [result for key, result in found.accuracy.items() if key == found.settings.key("candidate")]
    return sum(result.errors for result in results), sum(result.requests for result in results)
