"""What the capacity model says of two servers, held against two servers, each on a core of its own.

One server is measured first: throughput of one core that it shares with h2load, and the CPU time of a request in both.
From the CPU time alone the prediction for two cores is 2 / (server + generator), which is how ``twinserve capacity``
sizes cores. Then two servers run at once, each with its h2load on its core: 64 single images in flight each.

The generator has no core of its own where there are only two, so it is in the prediction and in the measurement; its
part is printed. Where other work takes part of the cores, rates say little; the server's CPU time of a request, which
the model takes to be the same with two servers as with one, says more.

Needs h2load and two cores; takes about half a minute a variant.

    python -m twinserve_bench.two_servers --models models --seconds 5
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from twinserve_bench.h2load import Load, LoadError, drive
from twinserve_bench.messages import TestSet
from twinserve_bench.processes import Running, affinity, busy_warning, ensure_models, twinserve

IN_FLIGHT = 64
WITHIN = 0.2
FLAGS = ("--variants", "fp32,int8", "--profile", "isolated", "--gateways", "1", "--replicas", "fp32=1,int8=1")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Requests a second. Seconds of CPU a request.

    Attributes:
        server: CPU of gateway and model process. generator: of h2load.
    """

    alone: float
    server: float
    generator: float

    def rate(self, cores: int) -> float:
        """What so many cores carry, by CPU time alone."""
        return cores / (self.server + self.generator)


def main() -> int:
    """Measure; print a table; 1 when a prediction is off by more than a fifth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    arguments = parser.parse_args()
    there = affinity()
    if len(there) < 2:
        parser.error("two cores are needed")
    ensure_models(arguments.models)
    warning = busy_warning(os.getloadavg()[0])
    table = Table("variant", "one", "server µs: one", "two", "h2load µs", "two, predicted", "two, measured", "ratio")
    good = True
    try:
        for variant in ("fp32", "int8"):
            predicted, both = compare(arguments.models, variant, arguments.seconds, there[:2])
            measured = sum(load.requests_per_second for load in both)
            spent = sum(sum(load.cpu_us.values()) * load.requests_per_second for load in both) / measured
            ratio = predicted.rate(2) / measured
            good = good and abs(ratio - 1) <= WITHIN
            table.add_row(
                variant,
                f"{predicted.alone:,.0f}/s",
                f"{1e6 * predicted.server:.0f}",
                f"{spent:.0f}",
                f"{1e6 * predicted.generator:.0f}",
                f"{predicted.rate(2):,.0f}/s",
                f"{measured:,.0f}/s",
                f"{ratio:.2f}",
            )
    except LoadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        os.sched_setaffinity(0, there)
    console = Console(width=120)
    console.print(table)
    if warning:
        console.print(warning)
    return 0 if good else 1


def compare(models: Path, variant: str, seconds: float, cores: list[int]) -> tuple[Prediction, list[Load]]:
    """One server on the first core, then one on each; the prediction, and what both did.

    Raises:
        LoadError: a load did not run.
    """
    message = TestSet(models).request(variant).SerializeToString()
    with ExitStack() as stack:
        servers = []
        for core in cores:
            os.sched_setaffinity(0, {core})  # what is started from here on inherits it
            servers.append(stack.enter_context(twinserve(models, *FLAGS)))
        os.sched_setaffinity(0, {cores[0]})
        before = os.times()
        alone = drive(servers[0].port, message, IN_FLIGHT, seconds, server_pid=servers[0].pid)
        after = os.times()
        # The generator's children: its CPU over its own requests, warm-up included.
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        sent = alone.requests_per_second * (seconds + 0.5)
        both = _together(servers, cores, message, seconds)
    server = sum(alone.cpu_us.values()) / 1e6
    return Prediction(alone.requests_per_second, server, spent / sent), both


def _together(servers: list[Running], cores: list[int], message: bytes, seconds: float) -> list[Load]:
    found: dict[int, Load] = {}
    failed: list[LoadError] = []

    def load(index: int) -> None:
        os.sched_setaffinity(0, {cores[index]})  # of this thread, and of the h2load that it starts
        try:
            found[index] = drive(servers[index].port, message, IN_FLIGHT, seconds, server_pid=servers[index].pid)
        except LoadError as error:
            failed.append(error)

    threads = [threading.Thread(target=load, args=(index,)) for index in range(len(servers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return [found[index] for index in sorted(found)]


if __name__ == "__main__":
    sys.exit(main())
