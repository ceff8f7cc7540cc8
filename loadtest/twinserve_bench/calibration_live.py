"""The live half of `calibration.py`: real servers, with the variants that `plant.py` made.

Only what is known without the comparison is held against its results: equal arms differ in nothing; a flipped variant
loses exactly the images that were flipped; a slower variant's single request takes longer by what another client's
stopwatch shows before and after the run. That is more than was planted: whoever waits longer also wakes up later,
so that 0.60 ms of busy waiting in the model (0.61 by the server's clock) came to 0.72 ms at the client.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

from twinserve_bench.calibration import Case, Promise, summarise
from twinserve_client import Client
from twinserve_loadtest.compare.accuracy import TestImages, compare_accuracy
from twinserve_loadtest.compare.experiment import Experiment
from twinserve_loadtest.compare.live_blocks import LiveBlocks
from twinserve_loadtest.compare.measurements import ExperimentSettings, Measurements
from twinserve_loadtest.record.run import Effect
from twinserve_loadtest.record.testset import TestSet, load_test_set
from twinserve_loadtest.target.local import LocalServer
from twinserve_loadtest.target.servers import servers_of

FIGURE = ("single-stream", "p50")
#: The stopwatch asks both variants alternately, this many single requests each time.
_TURNS, _REQUESTS = 40, 50


def extra_seconds_now(client: Client, test_set: TestSet, pair: tuple[str, str]) -> float:
    """Seconds that a client waits longer for the second variant's answer to one image: the medians' difference."""
    times: dict[str, list[float]] = {name: [] for name in pair}
    for _ in range(_TURNS):
        for name in pair:
            for number in range(_REQUESTS):
                began = time.perf_counter()
                client.predict(test_set.images[number : number + 1], variant=name)
                times[name].append(time.perf_counter() - began)
    return statistics.median(times[pair[1]]) - statistics.median(times[pair[0]])


def compare_once(runner: LiveBlocks, pair: tuple[str, str], images: int, seconds: float, seed: int) -> Measurements:
    """One comparison on a running server, without the ladder of rates and the crossover map."""
    settings = replace(ExperimentSettings(*pair, images), seconds=seconds, seed=seed, reserve=0.0)
    return Experiment(runner, settings).run()


def calibrate_live(
    folder: Path, only: list[str] | None, runs: int, seconds: float, seed: int
) -> tuple[list[Case], list[Promise]]:
    """The promises on real servers, on all planted variants or ``only`` these; a server serves one pair's runs."""
    try:
        document = json.loads((folder / "planted.json").read_text("utf-8"))
    except OSError as error:
        raise SystemExit(
            f"{folder}/planted.json: {error.strerror}; make it with `python -m twinserve_bench.plant`"
        ) from None
    model, baseline = document["model"], document["baseline"]
    test_set = load_test_set(folder / model)
    cases: list[Case] = []
    promises: list[Promise] = []
    candidates = {baseline: {}, **document["planted"]}
    if unknown := set(only or ()) - set(candidates):
        raise SystemExit(f"--only {', '.join(sorted(unknown))}: {folder} holds {', '.join(candidates)}")
    for candidate in only or candidates:
        truth = candidates[candidate]
        slowed = "busy_seconds" in truth
        pair = (baseline, candidate)
        found: list[Measurements] = []
        extra_seconds: list[float] = []
        with (
            LocalServer(folder, list(pair)) as server,
            LiveBlocks(servers_of(server.address.target), test_set, model=model, cpu=None, same_machine=True) as runner,
            Client(server.address.target) as client,
        ):
            console = Console(stderr=True)
            for number in track(range(runs), f"{baseline} and {candidate}", console=console, transient=True):
                before = extra_seconds_now(client, test_set, pair) if slowed else 0.0
                found.append(compare_once(runner, pair, len(test_set), seconds, seed + number))
                if slowed:
                    extra_seconds.append((before + extra_seconds_now(client, test_set, pair)) / 2)
        if "difference" in truth:
            promises += check_flips(test_set, pair, found, truth["difference"])
        elif slowed:
            case = check_slowdown(candidate, found, extra_seconds)
            cases.append(case)
            promises.append(
                Promise(
                    f"{candidate}: the interval holds the truth in {case.covered:.1%} (at least 90 %)",
                    case.covered >= 0.9,
                )
            )
        else:
            cases += summarise(1.0, [effects_of(run) for run in found])
            promises.append(check_equal(found))
    return cases, promises


def effects_of(run: Measurements) -> list[Effect]:
    """Of all scenarios."""
    return [effect for effects in run.effects.values() for effect in effects]


def check_equal(found: list[Measurements]) -> Promise:
    """Equal arms: at most one comparison in ten claims a difference."""
    claims = sum(any(e.claim in ("better", "worse") for e in effects_of(run)) for run in found)
    most = len(found) // 10
    return Promise(
        f"equal arms: {claims} of {len(found)} comparisons claim a difference (at most {most})", claims <= most
    )


def check_slowdown(candidate: str, found: list[Measurements], extra_seconds: list[float]) -> Case:
    """The median of a single request grows by what the stopwatch showed around that run."""
    held, claimed, estimates, widths, slowdowns = 0, 0, [], [], []
    for run, extra in zip(found, extra_seconds, strict=True):
        effect = next(e for e in run.effects[FIGURE[0]] if e.metric == FIGURE[1])
        assert effect.interval is not None
        assert effect.baseline is not None
        truth = effect.baseline / (effect.baseline + 1e6 * extra)
        held += effect.interval.low <= truth <= effect.interval.high
        claimed += effect.claim == "worse"
        estimates.append(effect.interval.estimate)
        widths.append(effect.interval.high / effect.interval.estimate - 1)
        slowdowns.append(1 / truth)
    runs = len(found)
    return Case(
        sum(slowdowns) / runs,
        f"{candidate}: {' '.join(FIGURE)}",
        runs,
        held / runs,
        claimed / runs,
        statistics.median(estimates),
        statistics.median(widths),
    )


def check_flips(test_set: TestSet, pair: tuple[str, str], found: list[Measurements], planted: float) -> list[Promise]:
    """Through the served path exactly the planted images are lost, and the loss is found."""
    test = TestImages(test_set.images, test_set.labels, tuple(str(label) for label in range(10)))
    results = [
        compare_accuracy(test, (pair[0], run.accuracy[pair[0]]), (pair[1], run.accuracy[pair[1]]), 0.005)
        for run in found
    ]
    exact = sum(result is not None and abs(result.difference.estimate - planted) < 1e-12 for result in results)
    seen = sum(result is not None and result.mcnemar_p < 0.05 for result in results)
    name = f"{pair[1]} ({100 * planted:+.2f} points)"
    return [
        Promise(f"{name}: sized exactly in {exact} of {len(found)} comparisons", exact == len(found)),
        Promise(f"{name}: found in {seen} of {len(found)} (at least 90 %)", seen >= 0.9 * len(found)),
    ]
