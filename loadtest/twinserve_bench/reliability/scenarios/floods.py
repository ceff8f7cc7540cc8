"""Floods of HTTP/2 frames beside ten clients: how much longer their p99 becomes, and how far the gateways grow.

The flood and the clients share the machine's cores with the server: on two of them, a p99 beside any other process that
is never idle is already longer than alone.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
from typing import Final

from twinserve_bench.processes import gateways_mib, twinserve
from twinserve_bench.reliability.driver import Driver
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.flood import KINDS
from twinserve_bench.reliability.run import Bench

CLIENTS: Final = 10
#: The flood begins before the clients and ends after them.
MARGIN_SECONDS: Final = 6.0
#: Of the gateways together.
BOUND_MIB: Final = 256.0
_LOOK_SECONDS: Final = 0.25


def run(bench: Bench) -> list[Finding]:
    """Each kind of flood in turn, each with a server of its own."""
    findings = []
    for kind in KINDS:
        ratios, growths = [], []
        for _ in range(bench.rounds):
            ratio, growth = flooded(bench, kind)
            ratios.append(ratio)
            growths.append(growth)
        median = statistics.median
        findings += [
            Finding(
                "floods", f"{kind}: p99 of {CLIENTS} others, times that alone", median(ratios), 2, False, (*ratios,)
            ),
            Finding("floods", f"{kind}: the gateways grow, MiB", median(growths), BOUND_MIB, False, (*growths,)),
        ]
    return findings


def flooded(bench: Bench, kind: str) -> tuple[float, float]:
    """One flood: the clients' p99 beside it as a multiple of that without it, and by how many MiB the gateways grew."""
    with twinserve(bench.models, "--variants", "fp32,int8") as server:
        driver = Driver(server.port, bench.models, bench.seconds)
        alone = driver.ask(CLIENTS).p99_ms
        before = gateways_mib(server.pid)
        command = [sys.executable, "-m", "twinserve_bench.reliability.flood", "--port", str(server.port)]
        command += ["--kind", kind, "--seconds", str(bench.seconds + MARGIN_SECONDS)]
        flood = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        most = [before]
        over = threading.Event()
        watch = threading.Thread(target=_watch, args=(server.pid, most, over))
        watch.start()
        try:
            beside = driver.ask(CLIENTS)
            said, _ = flood.communicate(timeout=bench.seconds + 60)
        finally:
            flood.kill()
            over.set()
            watch.join()
        over.wait(5)
        print(
            f"{kind}: {json.loads(said)}; p99 {alone:.1f} -> {beside.p99_ms:.1f} ms; {beside.ends}; gateways "
            f"{before:.0f} -> {max(most):.0f} MiB at most, {gateways_mib(server.pid):.0f} at the end",
            flush=True,
        )
        return beside.p99_ms / alone, max(most) - before


def _watch(pid: int, seen: list[float], over: threading.Event) -> None:
    while not over.wait(_LOOK_SECONDS):
        seen.append(gateways_mib(pid))
