"""The experiment: accuracy, warm-up, A/A control, interleaved A/B units, looks, until it is precise enough.

A coordinator that generates no load itself: it picks the next block (:mod:`twinserve_loadtest.compare.design`), passes
it to a :class:`~twinserve_loadtest.compare.runner.Runner`, and looks at the intervals at times fixed in advance
(:mod:`twinserve_loadtest.statistics.sequential`). All scenarios advance together, one unit each per round, so that they
share the same conditions. If the server goes away, what was measured is kept and what is missing is reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from twinserve_loadtest.compare.design import PAIRS_PER_UNIT, WARM_UP_CALLS, ScenarioPlan, seed_words, unit_blocks
from twinserve_loadtest.compare.effects import (
    Estimate,
    Level,
    effect_count,
    estimate_effects,
    half_width,
    steering,
)
from twinserve_loadtest.compare.measurements import ExperimentSettings, Measurements, Progress
from twinserve_loadtest.compare.runner import ArmUnavailableError, Runner
from twinserve_loadtest.compare.sizing import plan_scenarios
from twinserve_loadtest.record.blocks import Block, BlockPlan, whole_units
from twinserve_loadtest.record.run import Effect, Look, Remark
from twinserve_loadtest.record.terms import ROLES, Phase, Role, Scenario, Section
from twinserve_loadtest.statistics.sequential import SequentialLooks

PILOT_REQUESTS = 200
PILOT_BATCHES = 16
#: Seconds between two interim figures for a watching user; they decide nothing.
PROGRESS_SECONDS = 5.0

Measure = Callable[[BlockPlan], Block]
#: A further measurement after the main phase (rates, crossover): it gets the function that runs blocks, the
#: measurements so far, and the seconds it may take.
Extra = Callable[[Measure, Measurements, float], None]


class Experiment:
    """One comparison of two arms.

    Args:
        runner: sends the blocks.
        settings: what the user asked for.
        clock: seconds; simulated in calibration.
        observer: called with the progress.
        decided: whether the gates on a scenario are decided by these effects; measuring continues until they
            are, even if it is precise enough.
        extras: measurements after the main phase: name, section of the report, function.
    """

    def __init__(
        self,
        runner: Runner,
        settings: ExperimentSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        observer: Callable[[Progress], None] = lambda _: None,
        decided: Callable[[str, Sequence[Effect]], bool] = lambda *_: True,
        extras: Sequence[tuple[str, Section, Extra]] = (),
    ) -> None:
        self._runner = runner
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._decided = decided
        self._extras = extras
        self._measurements = Measurements(settings)
        self._sequences: dict[str, SequentialLooks] = {}
        self._claim_sequences: dict[str, SequentialLooks] = {}
        self._units_at_look: dict[str, int] = {}
        self._begin = 0.0

    def run(self) -> Measurements:
        """Measure everything; a server that goes away ends it early and is named in ``missing``."""
        self._begin = self._clock()
        found = self._measurements
        steps: list[tuple[str, Section, Callable[[], None]]] = [
            ("warm-up", "", self._warm_up),
            ("accuracy", "accuracy", self._accuracy),
            ("block sizes", "", self._pilot),
            ("A/A control", "effects", self._control),
            ("A/B comparison", "effects", self._main),
            *((name, section, self._extra(extra)) for name, section, extra in self._extras),
        ]
        for number, (name, _, step) in enumerate(steps):
            try:
                step()
            except (ArmUnavailableError, KeyboardInterrupt) as error:
                by_user = isinstance(error, KeyboardInterrupt)
                code, why = ("interrupted", "stopped by the user") if by_user else ("ended_early", str(error))
                found.missing.append(Remark(code, f"The measurement ended during {name}: {why}."))
                found.missing += [
                    Remark("not_measured", f"Not measured: {later}.", section)
                    for later, section, _ in steps[number + 1 :]
                ]
                break
        found.seconds = self._elapsed()
        return found

    def _elapsed(self) -> float:
        return self._clock() - self._begin

    def _arm(self, phase: Phase, role: Role) -> str:
        """In the control both roles are played by the baseline."""
        return self._settings.candidate if role == "candidate" and phase != "control" else self._settings.baseline

    def _measure(self, plan: BlockPlan) -> Block:
        arm = self._arm(plan.phase, plan.role)
        started = self._elapsed()
        return replace(self._runner.run(arm, plan), started_s=round(started, 4))

    def _once(self, phase: Phase, role: Role, traffic: Scenario, requests: int, batch: int) -> Block:
        """A block outside pairs."""
        plan = BlockPlan(
            scenario=phase,
            traffic=traffic,
            phase=phase,
            role=role,
            pair=-1,
            first_image=0,
            requests=requests,
            images_per_request=batch,
            rate=None,
            seed=self._settings.seed,
        )
        return self._measure(plan)

    def _warm_up(self) -> None:
        batch = self._settings.sizes.images_per_request
        for number, role in enumerate(ROLES):
            self._observer(Progress("warm-up", number / 2, f"warming up {self._arm('warm_up', role)}"))
            self._once("warm_up", role, "single-stream", WARM_UP_CALLS, 1)
            self._once("warm_up", role, "offline", WARM_UP_CALLS, batch)

    def _accuracy(self) -> None:
        batch = self._settings.sizes.images_per_request
        for number, role in enumerate(ROLES):
            arm = self._arm("accuracy", role)
            self._observer(Progress("accuracy", number / 2, f"every test image once through {arm}"))
            requests = -(-self._settings.images // batch)
            result = self._once("accuracy", role, "offline", requests, batch)
            self._measurements.accuracy[self._settings.key(role)] = result

    def _pilot(self) -> None:
        request_seconds: dict[str, float] = {}
        image_seconds: dict[str, float] = {}
        for role in ROLES:
            arm = self._arm("pilot", role)
            single = self._once("pilot", role, "single-stream", PILOT_REQUESTS, 1)
            bulk = self._once("pilot", role, "offline", PILOT_BATCHES, self._settings.sizes.images_per_request)
            for result in (single, bulk):
                if result.requests == result.errors:
                    raise ArmUnavailableError(f"{arm} answered none of {result.requests} requests")
            request_seconds[arm] = single.seconds / single.requests
            image_seconds[arm] = bulk.seconds / bulk.images
        self._measurements.scenarios = plan_scenarios(
            request_seconds, image_seconds, self._settings.sizes, self._settings.rate
        )

    def _run_unit(self, plan: ScenarioPlan, phase: Phase, unit: int) -> None:
        for block in unit_blocks(plan, phase, unit, seed=self._settings.seed, images=self._settings.images):
            self._measurements.blocks.append(self._measure(block))

    def _control(self) -> None:
        found, settings = self._measurements, self._settings
        started, budget, unit = self._elapsed(), settings.seconds * settings.control_share, 0
        try:
            while (spent := self._elapsed() - started) < budget or unit < settings.least_units:
                text = f"{settings.baseline} against itself: how much difference the machine alone makes"
                self._observer(Progress("control", min(spent / budget, 1.0), text))
                for plan in found.scenarios:
                    self._run_unit(plan, "control", unit)
                unit += 1
        finally:
            for plan in found.scenarios:
                estimates = estimate_effects(plan, found.blocks, "control", self._rng(plan.name, 0))
                found.control[plan.name] = [estimate.at(self._plain_level(), None) for estimate in estimates]

    def _main(self) -> None:
        found, settings = self._measurements, self._settings
        started, unit, told = self._elapsed(), 0, 0.0
        budget = max(settings.seconds * (1 - settings.reserve) - started, 1.0)
        to_look = [share for share in settings.looks if share < 1]
        still_open = list(found.scenarios)
        try:
            while still_open:
                for plan in still_open:
                    self._run_unit(plan, "main", unit)
                unit += 1
                spent = self._elapsed() - started
                enough = unit >= settings.least_units
                if spent >= budget and enough:
                    break
                fraction = min(spent / budget, 0.999)
                if enough and to_look and fraction >= to_look[0]:
                    to_look = [share for share in to_look if share > fraction]
                    still_open = [plan for plan in still_open if not self._look(plan, fraction)]
                if self._elapsed() - told > PROGRESS_SECONDS:
                    told = self._elapsed()
                    self._tell_main(still_open, fraction, unit)
        except (ArmUnavailableError, KeyboardInterrupt):
            self._close(still_open, "interrupted")
            raise
        self._close(still_open, "time")

    def _look(self, plan: ScenarioPlan, fraction: float) -> bool:
        """Look at a scenario; True when it has been measured enough."""
        found, settings = self._measurements, self._settings
        units = len(whole_units(found.blocks, plan.name, "main"))
        if units < 2 or units <= self._units_at_look.get(plan.name, 0):
            return False
        self._units_at_look[plan.name] = units
        sequence = self._sequences.setdefault(plan.name, SequentialLooks(1 - settings.confidence))
        strict = self._claim_sequences.setdefault(plan.name, SequentialLooks(self._claim_alpha()))
        confidence = sequence.look(fraction, units)
        level = Level(confidence, strict.look(fraction, units), settings.confidence)
        looks = found.looks.setdefault(plan.name, [])
        estimates = estimate_effects(plan, found.blocks, "main", self._rng(plan.name, len(looks) + 1))
        width = half_width(steering(plan, estimates), confidence)
        looks.append(Look(units * PAIRS_PER_UNIT, fraction, sequence.alpha_spent, confidence, width))
        self._keep(plan, estimates, level)
        if width <= settings.precision and self._decided(plan.name, found.effects[plan.name]):
            found.stopped[plan.name] = "precise"
            return True
        return False

    def _close(self, plans: Sequence[ScenarioPlan], why: str) -> None:
        """The last look at the scenarios that are still open: what is left of the error is spent."""
        found = self._measurements
        for plan in plans:
            self._look(plan, 1.0)
            found.stopped.setdefault(plan.name, why)
            if plan.name not in found.effects:
                estimates = estimate_effects(plan, found.blocks, "main", self._rng(plan.name, 0))
                self._keep(plan, estimates, self._plain_level())

    def _keep(self, plan: ScenarioPlan, estimates: Sequence[Estimate], level: Level) -> None:
        found = self._measurements
        floors = found.floors(plan.name)
        found.effects[plan.name] = [estimate.at(level, floors.get(estimate.metric)) for estimate in estimates]
        for estimate in estimates:
            if estimate.ratio is not None:
                error = (estimate.ratio.standard_error, estimate.ratio.units, level.interval)
                found.errors[plan.name, estimate.metric] = error

    def _claim_alpha(self) -> float:
        """The error that each effect may claim with, so that all of them together keep the confidence."""
        return (1 - self._settings.confidence) / max(effect_count(self._measurements.scenarios), 1)

    def _plain_level(self) -> Level:
        """Of a single look."""
        confidence = self._settings.confidence
        return Level(confidence, 1 - self._claim_alpha(), confidence)

    def _tell_main(self, plans: Sequence[ScenarioPlan], fraction: float, unit: int) -> None:
        found = self._measurements
        interim = [
            estimate.at(self._plain_level(), found.floors(plan.name).get(estimate.metric))
            for plan in plans
            for estimate in estimate_effects(plan, found.blocks, "main", self._rng(plan.name, 0))
        ]
        text = f"{unit * PAIRS_PER_UNIT} pairs; open: {', '.join(plan.name for plan in plans)}"
        self._observer(Progress("main", fraction, text, tuple(interim)))

    def _extra(self, extra: Extra) -> Callable[[], None]:
        def step() -> None:
            left = self._settings.seconds - self._elapsed()
            extra(self._measure, self._measurements, left)

        return step

    def _rng(self, scenario: str, look: int) -> np.random.Generator:
        return np.random.default_rng([self._settings.seed, look, *seed_words(scenario)])
