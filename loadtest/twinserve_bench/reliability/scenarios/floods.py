"""Floods of HTTP/2 frames beside ten clients."""

from __future__ import annotations

import statistics
from typing import Final

from twinserve_bench.reliability.beside import CLIENTS, beside
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.flood import KINDS
from twinserve_bench.reliability.run import Bench

#: Of the gateways together.
BOUND_MIB: Final = 256.0


def run(bench: Bench) -> list[Finding]:
    """Each kind of flood in turn, each with a server of its own."""
    findings = []
    for kind in KINDS:
        effects = [beside(bench, "flood", "--kind", kind) for _ in range(bench.rounds)]
        ratios = tuple(effect.ratio for effect in effects)
        growths = tuple(effect.grown_mib for effect in effects)
        what = f"{kind}: p99 of {CLIENTS} others, times that alone"
        findings += [
            Finding("floods", what, statistics.median(ratios), 2, False, ratios),
            Finding("floods", f"{kind}: the gateways grow, MiB", statistics.median(growths), BOUND_MIB, False, growths),
        ]
    return findings
