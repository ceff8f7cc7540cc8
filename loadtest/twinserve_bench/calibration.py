"""Does `twinserve compare` keep its promises? The calibration that anyone can repeat.

    python -m twinserve_bench.calibration --runs 40                     on a simulated noisy machine, some minutes
    python -m twinserve_bench.calibration --runs 40 --live --models planted    against real servers, hours

Four promises are checked, over ``--runs`` comparisons each:

- two equal arms: at most one comparison in ten claims any difference (at 95 %, one in twenty is expected);
- a variant slowed by 10, 20, 50 %: its intervals hold the truth in at least 90 of 100 cases, and it is found;
- accuracy lowered by 0.3, 1, 3 points: found (McNemar, 5 %) and sized (the interval holds the truth).

Simulated, the planted slow-down is exactly the ratio of every percentile (see `simulation.py`). Live, the
planted variants of `plant.py` wait, busy, and the truth is what another client's stopwatch shows.

Exit code 0: all promises kept; 1: one is broken. With far fewer than 40 runs one may break by chance alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from twinserve_bench.simulation import SimulatedMachine, SimulatedVariant
from twinserve_loadtest.compare.accuracy import TestImages, compare_accuracy
from twinserve_loadtest.compare.experiment import Experiment
from twinserve_loadtest.compare.measurements import ExperimentSettings
from twinserve_loadtest.record.blocks import Block, BlockPlan
from twinserve_loadtest.record.percentiles import histogram_of
from twinserve_loadtest.record.run import Effect

SLOWDOWNS = (1.0, 1.1, 1.2, 1.5)
LOSSES = (0.003, 0.01, 0.03)
#: The key of a single figure of a run; the steering figures decide whether a slow-down was found.
STEERING = (("single-stream", "p50"), ("open", "p50"), ("offline", "throughput"))
IMAGES = 10_000
#: Share of the baseline's answers that are wrong, and of images that flip without any planted loss.
BASE_ERROR, CHURN = 0.01, 0.001


@dataclass(frozen=True)
class Case:
    """What one figure of all runs of a planted slow-down came to."""

    slowdown: float
    figure: str
    runs: int
    covered: float
    claimed: float
    median_estimate: float
    median_half_width: float


@dataclass(frozen=True)
class Promise:
    """One line of the calibration."""

    text: str
    kept: bool


def simulated_run(job: tuple[float, int, float]) -> list[Effect]:
    """One comparison on one simulated day."""
    slowdown, seed, seconds = job
    labels = np.random.default_rng(0).integers(0, 10, 640)
    variants = {"a": SimulatedVariant(), "b": SimulatedVariant(slowdown=slowdown)}
    machine = SimulatedMachine(variants, labels, seed=seed)
    settings = ExperimentSettings("a", "b", len(labels), seconds=seconds, seed=seed, reserve=0.0)
    found = Experiment(machine, settings, clock=machine.now).run()
    return [effect for effects in found.effects.values() for effect in effects]


def truth_of(effect: Effect, slowdown: float) -> float:
    """The planted ratio, oriented as the effect is."""
    return 1 / slowdown if effect.kind == "speedup" else slowdown


def summarise(slowdown: float, runs: list[list[Effect]]) -> list[Case]:
    """Coverage and claims, figure by figure."""
    grouped: dict[str, list[Effect]] = defaultdict(list)
    for effects in runs:
        for effect in effects:
            if effect.interval is not None:
                grouped[f"{effect.scenario} {effect.metric}"].append(effect)
    cases = []
    for figure, effects in grouped.items():
        held = [e.interval.low <= truth_of(e, slowdown) <= e.interval.high for e in effects if e.interval]
        estimates = [e.interval.estimate for e in effects if e.interval]
        widths = [e.interval.high / e.interval.estimate - 1 for e in effects if e.interval]
        claimed = [e.claim in ("better", "worse") for e in effects]
        cases.append(
            Case(
                slowdown,
                figure,
                len(effects),
                float(np.mean(held)),
                float(np.mean(claimed)),
                float(np.median(estimates)),
                float(np.median(widths)),
            )
        )
    return cases


def check_speed(slowdown: float, runs: list[list[Effect]], cases: list[Case]) -> list[Promise]:
    """The promises on one planted slow-down."""
    claims = sum(any(effect.claim in ("better", "worse") for effect in effects) for effects in runs)
    if slowdown == 1.0:
        most = len(runs) // 10
        return [
            Promise(
                f"equal arms: {claims} of {len(runs)} comparisons claim a difference (at most {most})", claims <= most
            )
        ]
    covered = sum(case.covered * case.runs for case in cases) / sum(case.runs for case in cases)
    steering = {f"{scenario} {metric}" for scenario, metric in STEERING}
    worst = min((case for case in cases if case.figure in steering), key=lambda case: case.covered)
    found = sum(any(e.claim == "worse" and (e.scenario, e.metric) in STEERING for e in effects) for effects in runs)
    name = f"slowed by {100 * (slowdown - 1):.0f} %"
    return [
        Promise(f"{name}: intervals hold the truth in {covered:.1%} of cases (at least 90 %)", covered >= 0.9),
        Promise(
            f"{name}: the worst of the medians and throughput, {worst.figure}, in {worst.covered:.1%} (at least 90 %)",
            worst.covered >= 0.9,
        ),
        Promise(f"{name}: found in {found} of {len(runs)} comparisons (at least 90 %)", found >= 0.9 * len(runs)),
    ]


def check_accuracy(loss: float, runs: int) -> list[Promise]:
    """The promises on one planted loss of accuracy, on a test set of 10,000 images."""
    found = sized = 0
    for seed in range(runs):
        rng = np.random.default_rng([seed, round(1e6 * loss)])
        labels = rng.integers(0, 10, IMAGES)
        right = rng.random(IMAGES) >= BASE_ERROR
        after = np.where(rng.random(IMAGES) < CHURN, ~right, right) & (rng.random(IMAGES) >= loss)
        truth = (1 - loss) * ((1 - BASE_ERROR) * (1 - CHURN) + BASE_ERROR * CHURN) - (1 - BASE_ERROR)
        test = TestImages(np.zeros((IMAGES, 1, 1), np.uint8), labels, tuple("0123456789"))
        arms = [_answers(labels, share) for share in (right, after)]
        result = compare_accuracy(test, ("a", arms[0]), ("b", arms[1]), margin=0.005)
        assert result is not None
        found += result.mcnemar_p < 0.05 and result.difference.estimate < 0
        sized += result.difference.low <= truth <= result.difference.high
    name = f"accuracy lowered by {100 * loss:g} points"
    return [
        Promise(f"{name}: found in {found} of {runs} test sets (at least 90 %)", found >= 0.9 * runs),
        Promise(f"{name}: the interval holds the truth in {sized} of {runs} (at least 90 %)", sized >= 0.9 * runs),
    ]


def _answers(labels: np.ndarray, right: np.ndarray) -> Block:
    answers = np.where(right, labels, (labels + 1) % 10).astype(np.uint16)
    plan = BlockPlan("accuracy", "offline", "accuracy", "baseline", -1, 0, 1, len(labels), None, 1)
    return Block("a", plan, 1.0, 1, len(labels), 0, histogram_of(np.ones(1)), predictions=answers)


def simulate(runs: int, seconds: float, workers: int, seed: int) -> tuple[list[Case], list[Promise]]:
    """All promises on the simulated machine."""
    cases: list[Case] = []
    promises: list[Promise] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for slowdown in SLOWDOWNS:
            jobs = [(slowdown, 1000 * seed + run, seconds) for run in range(runs)]
            done: Iterable[list[Effect]] = pool.map(simulated_run, jobs)
            found = list(
                track(
                    done, f"slowed by {100 * (slowdown - 1):.0f} %", runs, console=Console(stderr=True), transient=True
                )
            )
            mine = summarise(slowdown, found)
            cases += mine
            promises += check_speed(slowdown, found, mine)
    for loss in LOSSES:
        promises += check_accuracy(loss, runs)
    return cases, promises


def show(cases: list[Case], promises: list[Promise], seconds: float) -> None:
    """The table and the promises."""
    console = Console()
    table = Table(title="Intervals at 95 %", box=None)
    for column in ("slowed by", "figure", "runs", "truth held", "claimed", "median", "median +/-"):
        table.add_column(column)
    for case in cases:
        table.add_row(
            f"{100 * (case.slowdown - 1):.0f} %",
            case.figure,
            str(case.runs),
            f"{case.covered:.1%}",
            f"{case.claimed:.1%}",
            f"{case.median_estimate:.3f}",
            f"{case.median_half_width:.1%}",
        )
    console.print(table)
    for promise in promises:
        console.print(f"{'kept  ' if promise.kept else 'BROKEN'} {promise.text}", highlight=False)
    console.print(f"{seconds:.0f} s", highlight=False)


def main() -> int:
    """Read the options, calibrate, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="comparisons for each planted effect")
    parser.add_argument("--seconds", type=float, default=120.0, help="time of one comparison (simulated: simulated)")
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate")
    parser.add_argument("--seed", type=int, default=1)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--simulate", action="store_true", help="a simulated machine (the default)")
    mode.add_argument("--live", action="store_true", help="real servers with the variants of plant.py")
    parser.add_argument("--models", type=Path, default=Path("planted"), help="live: the folder that plant.py made")
    parser.add_argument(
        "--only", action="append", metavar="VARIANT", help="live: only this planted variant; the baseline: equal arms"
    )
    parser.add_argument("--json", type=Path, help="write everything here")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs is {options.runs}: at least 1 is needed")
    if options.only and not options.live:
        parser.error("--only goes with --live")
    began = time.monotonic()
    if options.live:
        from twinserve_bench.calibration_live import calibrate_live  # noqa: PLC0415  (beside this script; needs a server)

        cases, promises = calibrate_live(options.models, options.only, options.runs, options.seconds, options.seed)
    else:
        cases, promises = simulate(options.runs, options.seconds, options.workers, options.seed)
    seconds = time.monotonic() - began
    show(cases, promises, seconds)
    if options.json is not None:
        document = {"cases": [asdict(case) for case in cases], "promises": [asdict(promise) for promise in promises]}
        options.json.write_text(json.dumps(document, indent=1), "utf-8")
    return 0 if all(promise.kept for promise in promises) else 1


if __name__ == "__main__":
    sys.exit(main())
