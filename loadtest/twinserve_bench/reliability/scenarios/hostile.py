"""Broken, slow and greedy connections beside ten clients, and 200,000 spoilt messages to every method."""

from __future__ import annotations

import statistics

from twinserve_bench.reliability.beside import CLIENTS, Effect, beside
from twinserve_bench.reliability.chaos.findings import none
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.hostile.wire import ATTACKS
from twinserve_bench.reliability.run import Bench
from twinserve_bench.reliability.scenarios.floods import BOUND_MIB

#: And so long they may take at the most.
MESSAGES, MESSAGES_SECONDS = 200_000, 480.0


def run(bench: Bench) -> list[Finding]:
    """Each kind in turn, each with a server of its own; the messages once, however many rounds were asked for."""
    findings = []
    for kind in ATTACKS:
        findings += _findings(kind, [beside(bench, "hostile", "--kind", kind) for _ in range(bench.rounds)])
    flags = ("--kind", "messages", "--most", str(MESSAGES))
    effect = beside(bench, "hostile", *flags, attack_seconds=MESSAGES_SECONDS)
    return [
        *findings,
        *_findings("messages", [effect]),
        none("hostile", "messages: calls that ended as faults of the server", len(effect.said["blamed"])),
    ]


def _findings(kind: str, effects: list[Effect]) -> list[Finding]:
    ratios = tuple(effect.ratio for effect in effects)
    growths = tuple(effect.grown_mib for effect in effects)
    median = statistics.median
    return [
        none("hostile", f"{kind}: processes that ended", sum(effect.ended for effect in effects)),
        none("hostile", f"{kind}: faults that the server counted", round(sum(effect.blamed for effect in effects))),
        Finding("hostile", f"{kind}: p99 of {CLIENTS} others, times that alone", median(ratios), 2, False, ratios),
        Finding("hostile", f"{kind}: the gateways grow, MiB", median(growths), BOUND_MIB, False, growths),
    ]
