"""The experiment on a simulated machine whose truth is known: what it does, when it stops, what it finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from twinserve_bench.simulation import Noise, SimulatedMachine, SimulatedVariant
from twinserve_loadtest.compare.crossover import crossover_cells, survey
from twinserve_loadtest.compare.experiment import Experiment, Extra
from twinserve_loadtest.compare.measurements import ExperimentSettings, Measurements, Progress
from twinserve_loadtest.compare.rate_ladder import Objective, climb, rate_search
from twinserve_loadtest.record.blocks import Block, BlockPlan
from twinserve_loadtest.record.run import Effect
from twinserve_loadtest.record.terms import Section

LABELS = np.random.default_rng(0).integers(0, 10, 2000)
QUIET = Noise(drift_sd=0.01, seconds_between_bursts=1e9, request_sd=0.05, preempted_share=0.002)


class Recorder(SimulatedMachine):
    """Remembers which blocks it was given."""

    def __init__(
        self, slowdown: float = 1.0, *, seed: int = 1, noise: Noise = QUIET, dies_at: float | None = None
    ) -> None:
        variants = {"fp32": SimulatedVariant(), "int8": SimulatedVariant(slowdown=slowdown)}
        super().__init__(variants, LABELS, seed=seed, noise=noise, dies_at=dies_at)
        self.given: list[tuple[str, BlockPlan]] = []
        self.spoil: set[int] = set()

    def run(self, arm: str, block: BlockPlan) -> Block:
        self.given.append((arm, block))
        result = super().run(arm, block)
        spoiled = block.phase == "main" and block.pair in self.spoil and block.role == "candidate"
        return replace(result, invalid="spoiled") if spoiled else result


SETTINGS = ExperimentSettings("fp32", "int8", len(LABELS), seconds=90.0)


def run(machine: Recorder, settings: ExperimentSettings = SETTINGS) -> Measurements:
    return Experiment(machine, settings, clock=machine.now).run()


def effect(found: Measurements, scenario: str, metric: str) -> Effect:
    return next(effect for effect in found.effects[scenario] if effect.metric == metric)


def test_it_warms_up_asks_every_image_once_controls_and_then_compares() -> None:
    machine = Recorder()
    run(machine)
    phases = list(dict.fromkeys(block.phase for _, block in machine.given))
    assert phases == ["warm_up", "accuracy", "pilot", "control", "main"]
    accuracy = [
        (arm, block.requests * block.images_per_request) for arm, block in machine.given if block.phase == "accuracy"
    ]
    assert [arm for arm, _ in accuracy] == ["fp32", "int8"]
    assert all(0 <= images - len(LABELS) < 64 for _, images in accuracy)


def test_the_control_runs_the_baseline_in_both_roles() -> None:
    machine = Recorder()
    run(machine)
    control = [(arm, block.role) for arm, block in machine.given if block.phase == "control"]
    assert {arm for arm, _ in control} == {"fp32"}
    assert {role for _, role in control} == {"baseline", "candidate"}


def test_both_arms_of_a_pair_do_exactly_the_same() -> None:
    machine = Recorder()
    run(machine)
    work = Counter(
        (block.scenario, block.pair, block.first_image, block.requests, block.rate, block.seed)
        for _, block in machine.given
        if block.phase == "main"
    )
    assert set(work.values()) == {2}


def test_a_precise_enough_scenario_ends_early_and_the_others_go_on() -> None:
    found = run(Recorder(0.5), replace(SETTINGS, seconds=200.0, precision=0.03))
    assert set(found.stopped.values()) == {"precise"}
    assert found.seconds < 150
    assert all(looks[-1].half_width <= 0.03 for looks in found.looks.values())


def test_an_imprecise_one_goes_on_until_the_time_is_up() -> None:
    found = run(Recorder(0.5), replace(SETTINGS, precision=1e-6))
    assert set(found.stopped.values()) == {"time"}
    for looks in found.looks.values():
        assert looks[-1].fraction == 1.0
        assert looks[-1].alpha_spent == pytest.approx(0.05)
        assert [look.pairs for look in looks] == sorted({look.pairs for look in looks})
        assert looks[0].pairs >= 20


def test_measuring_goes_on_while_a_gate_is_open() -> None:
    machine = Recorder(0.5)
    asked: list[str] = []

    def never(scenario: str, _: object) -> bool:
        asked.append(scenario)
        return False

    found = Experiment(machine, replace(SETTINGS, precision=0.5), clock=machine.now, decided=never).run()
    assert set(found.stopped.values()) == {"time"}
    assert set(asked) == {"single-stream", "open", "offline"}


def test_planted_slow_downs_are_found_and_sized() -> None:
    truth, covered, stated = 1 / 1.25, 0, 0
    for seed in range(12):
        found = run(Recorder(1.25, seed=seed), replace(SETTINGS, seed=seed))
        for scenario, metric in (("single-stream", "p50"), ("open", "p50"), ("offline", "throughput")):
            ratio = effect(found, scenario, metric)
            assert ratio.claim == "worse"
            assert ratio.interval is not None
            stated += 1
            covered += ratio.interval.low <= truth <= ratio.interval.high
            assert abs(ratio.interval.estimate / truth - 1) < 0.03
    assert covered / stated >= 0.9


@pytest.mark.parametrize("seed", range(5))
def test_a_variant_against_itself_differs_in_nothing(seed: int) -> None:
    settings = replace(SETTINGS, candidate="fp32", seed=seed)
    found = run(Recorder(seed=seed, noise=Noise()), settings)
    claims = {(e.scenario, e.metric): e.claim for effects in found.effects.values() for e in effects}
    assert set(claims.values()) <= {"none", "unknown"}, claims
    assert list(found.accuracy) == ["fp32", "fp32 (again)"]


def test_the_same_seed_gives_the_same_figures() -> None:
    assert run(Recorder(0.8)).effects == run(Recorder(0.8)).effects


def test_a_pair_that_lost_one_side_takes_its_unit_with_it() -> None:
    machine = Recorder(0.5)
    machine.spoil = {0, 5}
    found = run(machine)
    pairs = len({block.pair for _, block in machine.given if block.phase == "main" and block.scenario == "offline"})
    assert effect(found, "offline", "throughput").pairs == pairs - 4


def test_a_server_that_dies_leaves_what_was_measured_and_says_what_is_missing() -> None:
    machine = Recorder(0.5, dies_at=80.0)
    found = run(machine, replace(SETTINGS, precision=1e-6))
    told = " ".join(remark.text for remark in found.missing)
    assert "ended during A/B comparison" in told
    assert "gone" in told
    assert set(found.stopped.values()) == {"interrupted"}
    ratio = effect(found, "single-stream", "p50")
    assert ratio.interval is not None
    assert ratio.pairs > 0


def test_a_server_that_was_never_there_leaves_a_list_of_what_is_missing() -> None:
    found = run(Recorder(dies_at=0.0))
    assert found.missing[0].code == "ended_early"
    told = {(remark.code, remark.section) for remark in found.missing}
    assert {("not_measured", "accuracy"), ("not_measured", "effects")} <= told
    assert found.effects == {}


def test_a_watching_user_is_told_every_phase_and_the_interval_so_far() -> None:
    machine, told = Recorder(0.5), list[Progress]()
    Experiment(machine, replace(SETTINGS, precision=1e-6), clock=machine.now, observer=told.append).run()
    assert {progress.phase for progress in told} == {"warm-up", "accuracy", "control", "main"}
    assert all(0 <= progress.fraction <= 1 for progress in told)
    assert any(e.interval is not None for progress in told for e in progress.effects)


def test_the_ladder_finds_the_faster_arms_higher_rate() -> None:
    machine, objective = Recorder(0.5), Objective(limit_ms=4.0)
    settings = replace(SETTINGS, seconds=240.0, precision=0.05)
    ladder: list[tuple[str, Section, Extra]] = [
        ("rates", "rate", climb(objective, settings.sizes.server_load)),
        ("crossover map", "crossover", survey(batches=(1, 32))),
    ]
    found = Experiment(machine, settings, clock=machine.now, extras=ladder).run()
    slo = rate_search(found.blocks, settings, objective, None)
    assert slo is not None
    assert slo.effect is not None
    assert slo.effect.interval is not None
    assert slo.effect.interval.low > 1.5
    assert slo.effect.claim == "better"
    cells = crossover_cells(found.blocks, settings, slo)
    offline = {cell.batch_size: cell.speedup for cell in cells if cell.metric == "throughput"}
    assert set(offline) == {1, 32}
    assert all(speedup is not None and speedup.low <= 2.0 <= speedup.high for speedup in offline.values())
    overloaded = [cell for cell in cells if cell.offered_rate is not None and "does not sustain" in cell.note]
    assert overloaded
    assert all(cell.speedup is None for cell in overloaded)


def test_what_there_is_no_time_for_is_said() -> None:
    machine, settings = Recorder(0.5), replace(SETTINGS, precision=1e-6, reserve=0.0)
    extras: list[tuple[str, Section, Extra]] = [
        ("rates", "rate", climb(Objective(), 0.5)),
        ("crossover map", "crossover", survey()),
    ]
    found = Experiment(machine, settings, clock=machine.now, extras=extras).run()
    assert {"slo_not_measured", "crossover_not_measured"} <= {remark.code for remark in found.missing}
