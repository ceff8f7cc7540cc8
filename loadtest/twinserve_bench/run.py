"""``make bench``: the server against its bounds, measured in one run on one machine.

Bound 1 is the bare model in a loop; bound 2 a gRPC server that does nothing. All servers are up the whole time and are
measured in turn, round after round, so that a slow minute of the machine hits everybody; figures are medians with
their spread, and targets are ratios within a round. Examples:

    python -m twinserve_bench.run                 about ten minutes
    python -m twinserve_bench.run --only edge,native
    python -m twinserve_bench.run --quick         one round of short runs: does everything work?
    python -m twinserve_bench.run --no-profile    does not ask py-spy where a request's time goes
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from twinserve_bench.bounds import HEALTH_IN_FLIGHT, targets
from twinserve_bench.h2load import drive
from twinserve_bench.health_probe import health_under_load
from twinserve_bench.messages import TestSet
from twinserve_bench.processes import Running, affinity, busy_warning, ensure_models, idle_memory, noop, twinserve
from twinserve_bench.results import Results
from twinserve_bench.table import (
    Figures,
    Target,
    cpu_table,
    figures_table,
    memory_table,
    profile_table,
    targets_table,
)
from twinserve_bench.where_time_goes import ProfileError, where_time_goes
from twinserve_host.files import FileError
from twinserve_loadtest.generate.generator import LoadGenerator
from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.record.stamp import read_stamp
from twinserve_loadtest.record.testset import load_test_set
from twinserve_loadtest.target.servers import servers_of

#: The variants of the server and how each is started; the no-op server comes on top.
ARMS: dict[str, tuple[str, ...]] = {
    "aio": ("--transport", "aio"),
    "fast": ("--transport", "fast"),
    "native": ("--transport", "native", "--gateways", "1"),
    "edge": ("--profile", "edge", "--gateways", "1"),
}
#: The arms compared with every bound; the others are measured with single images only.
THOROUGHLY = ("aio", "fast")
IN_FLIGHT = (1, 8, 16, 32, 64, 128)
#: An open loop that sends later than this is not one. Not relative to the latency, which a late client also inflates.
LATEST_US = 1000.0
console = Console(stderr=True)


class Bench:
    """One run: servers, figures, progress."""

    def __init__(self, models: Path, seconds: float, gateways: int, only: set[str]) -> None:
        """``only``: the arms to measure; none named: all."""
        self.models = models
        self.seconds = seconds
        self.gateways = gateways
        self.figures = Figures()
        self.tests = TestSet(models)
        self.arms = {name: flags for name, flags in ARMS.items() if not only or name in only}
        self.noop = not only or "noop" in only
        self.thoroughly = [name for name in THOROUGHLY if name in self.arms]
        self.servers: dict[str, Running] = {}
        #: CPU µs per request with 64 single INT8 images in flight, by arm and process.
        self.cpu_us: dict[str, dict[str, list[float]]] = {}
        self.memory: dict[str, dict[str, tuple[float, float]]] = {}
        self.profile: dict[str, dict[str, float]] = {}
        #: Those that were measured to their end.
        self.rounds = 0

    def run(self, rounds: int, profile: bool, keep: Callable[[], None]) -> None:
        """Start every server and measure; ``keep`` is called after each round."""
        if self.arms:
            self.memory = idle_memory(self.models)
        with contextlib.ExitStack() as stack, Progress(console=console) as progress:
            self.start(stack)
            for _ in progress.track(range(rounds), description="rounds"):
                self.round(progress)
                self.rounds += 1
                keep()
            if profile and "fast" in self.servers:
                try:
                    self.profile = where_time_goes(self.servers["fast"], self.tests)
                except ProfileError as error:
                    # The figures stand without it.
                    console.print(f"where a request's time goes is not known: {error}", style="yellow")

    def start(self, stack: contextlib.ExitStack) -> None:
        """Start every server, and see that each answers rightly."""
        flags = ["--variants", "fp32,int8", "--gateways", str(self.gateways)]
        if self.noop:
            self.servers["noop"] = stack.enter_context(noop(self.gateways))
        for name, more in self.arms.items():
            self.servers[name] = stack.enter_context(twinserve(self.models, *flags, *more))
            for variant in ("fp32", "int8"):
                self.tests.check(self.servers[name].port, variant)

    def round(self, progress: Progress) -> None:
        """Measure everything once."""
        steps: list[partial[None]] = [
            *(partial(self.unary, name, "int8", n, 1) for name in self.servers for n in IN_FLIGHT),
            *(partial(self.unary, name, "fp32", n, 1) for name in self.arms for n in (1, 64)),
            *(partial(self.unary, name, variant, 4, 64) for name in self.thoroughly for variant in ("fp32", "int8")),
            *(partial(self.stream, name, "int8") for name in self.thoroughly),
            *(partial(self.locust, name, "int8", n) for name in self.thoroughly for n in (1, 64)),
            *(partial(self.bare, variant) for variant in ("fp32", "int8") if self.thoroughly),
            *(partial(self.open_loop, name, "int8") for name in self.thoroughly),
            *(partial(self.health, name, n) for name in self.thoroughly for n in HEALTH_IN_FLIGHT),
        ]
        task = progress.add_task("measuring", total=len(steps))
        for step in steps:
            progress.update(task, description=" ".join(map(str, step.args)))
            step()
            progress.advance(task)
        progress.remove_task(task)

    def targets(self) -> list[Target]:
        """What should hold, from the rounds measured."""
        return targets(self.figures, self.thoroughly)

    def unary(self, name: str, variant: str, in_flight: int, images: int) -> None:
        """Closed loop, one stream a connection."""
        message = self.tests.request(variant, images).SerializeToString()
        server = self.servers[name]
        load = drive(server.port, message, in_flight, self.seconds, server_pid=server.pid)
        label = f"{name} {variant}" + (f" batch-{images}" if images > 1 else "")
        rate = load.requests_per_second * images
        self.figures.add(f"{label}, {in_flight} in flight: images/s", rate)
        self.figures.add(f"{label}, {in_flight} in flight: p50 µs", load.p50_us)
        if in_flight == 64 and images == 1:
            for role, spent in load.cpu_us.items():
                self.figures.add(f"{label}, {in_flight} in flight: CPU µs a request, {role}", spent)
                if variant == "int8":
                    self.cpu_us.setdefault(name, {}).setdefault(role, []).append(spent)

    def stream(self, name: str, variant: str) -> None:
        """Bidirectional streams, 64 images in flight in all."""
        found = self._client("stream", name, variant, "--in-flight", "64")
        self.figures.add(f"{name} {variant} stream, 64 in flight: images/s", found["images_per_second"])

    def open_loop(self, name: str, variant: str) -> None:
        """Poisson arrivals at half the peak of this round, latency from the intended send."""
        peak = self.figures.values[f"{name} {variant}, 64 in flight: images/s"][-1]
        found = self._client("open", name, variant, "--rate", str(peak / 2))
        label = f"{name} {variant}, Poisson at half its peak"
        self.figures.add(f"{label}: requests/s", found["rate"])
        self.figures.add(f"{label}: sent late by, p99 µs", found["late_p99_us"])
        if found["late_p99_us"] > LATEST_US:
            console.print(f"{label}: requests were sent late, latencies are not kept", style="yellow")
            return
        self.figures.add(f"{label}: p50 µs", found["p50_us"])
        self.figures.add(f"{label}: p99 µs", found["p99_us"])

    def locust(self, name: str, variant: str, in_flight: int) -> None:
        """The same closed loop from Locust and the SDK: what a generator in Python leaves of the figures."""
        target, test_set = f"127.0.0.1:{self.servers[name].port}", load_test_set(self.models / "mnist")
        with LoadGenerator(servers_of(target), test_set) as generator:
            tally = generator.run(BlockSpec.closed(variant, in_flight, seconds=self.seconds)).tally()
        label = f"{name} {variant}, {in_flight} in flight from Locust"
        self.figures.add(f"{label}: images/s", tally.requests / self.seconds)
        self.figures.add(f"{label}: p50 µs", tally.histogram.get_value_at_percentile(50))

    def health(self, name: str, in_flight: int) -> None:
        """Health/Check beside a closed loop of INT8; a load of its own, so that probes cost no other figure."""
        message = self.tests.request("int8").SerializeToString()
        found = health_under_load(self.servers[name].port, message, in_flight, self.seconds)
        label = f"{name}, Health/Check with {in_flight} INT8 in flight"
        self.figures.add(f"{label}: p50 µs", statistics.median(found))
        self.figures.add(f"{label}: p99 µs", found[min(len(found) - 1, int(len(found) * 0.99))])
        self.figures.add(f"{label}: max µs", found[-1])

    def bare(self, variant: str) -> None:
        """The artefact in a loop, one thread, as the model process has."""
        command = [sys.executable, "-m", "twinserve_bench.bare_model", str(self.models / "mnist" / "1"), variant]
        done = subprocess.run(
            [*command, "--seconds", str(self.seconds / 3)], capture_output=True, text=True, check=True, timeout=120
        )
        for size, rate in json.loads(done.stdout).items():
            self.figures.add(f"bare {variant}, batch {size}: images/s", rate)

    def _client(self, mode: str, name: str, variant: str, *more: str) -> dict[str, float]:
        command = [sys.executable, "-m", "twinserve_bench.http2_load", mode, "--port", str(self.servers[name].port)]
        command += ["--variant", variant, "--seconds", str(self.seconds), "--models", str(self.models), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        found: dict[str, float] = json.loads(done.stdout)
        return found


def main() -> int:
    """Measure, print the tables, keep the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--rounds", "--repeats", type=int, default=3, dest="repeats")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--only", default="", help=f"which arms, of noop,{','.join(ARMS)}; the default is all")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--profile", action=argparse.BooleanOptionalAction, default=True, help="profile with py-spy")
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    arguments = parser.parse_args()
    only = set(filter(None, arguments.only.split(",")))
    if unknown := only - {"noop", *ARMS}:
        parser.error(f"--only: {', '.join(sorted(unknown))} is not among noop, {', '.join(ARMS)}")
    try:
        ensure_models(arguments.models)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    repeats, seconds = (1, 1.0) if arguments.quick else (arguments.repeats, arguments.seconds)
    bench = Bench(arguments.models, seconds, arguments.gateways, only)
    load_before = os.getloadavg()[0]

    def found() -> dict[str, Any]:
        return {
            "stamp": asdict(read_stamp()),
            "command": sys.argv,
            "load_average_before": load_before,
            "rounds": repeats,
            "rounds_done": bench.rounds,
            "figures": bench.figures.values,
            "targets": [{**asdict(target), "reached": target.reached} for target in bench.targets()],
            "idle_mib": bench.memory,
            "profile": bench.profile,
        }

    try:
        results = Results(arguments.output, "bench", console, found)
    except FileError as error:
        parser.error(f"--output {error}")
    return results.run(
        lambda: bench.run(repeats, arguments.profile, results.keep), lambda: print(tables(bench, repeats, load_before))
    )


def tables(bench: Bench, repeats: int, load_before: float) -> str:
    """All that was measured, as markdown."""
    done = f"{bench.rounds} of {repeats} rounds" if bench.rounds < repeats else f"{repeats} rounds"
    parts = [
        f"Cores {affinity()}, {done} of {bench.seconds:g} s; server and generator share the cores.",
        busy_warning(load_before),
        figures_table(bench.figures) if bench.figures.values else "",
        targets_table(held) if (held := bench.targets()) else "",
        f"64 single INT8 images in flight:\n\n{cpu_table(bench.cpu_us)}" if bench.cpu_us else "",
        memory_table(bench.memory) if bench.memory else "",
        profile_table(bench.profile) if bench.profile else "",
    ]
    return "\n\n".join(filter(None, parts))


if __name__ == "__main__":
    sys.exit(main())
