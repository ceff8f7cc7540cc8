"""Faults between client and server: delays, bytes that trickle, cuts within messages, black holes, in random order."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack
from typing import Final
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from twinserve_bench.processes import twinserve
from twinserve_bench.reliability.chaos.callers import Questions
from twinserve_bench.reliability.chaos.findings import none
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.network.run import LONG_SECONDS, SPELLS, Caller, endure
from twinserve_bench.reliability.network.wire import Wire
from twinserve_bench.reliability.run import Bench
from twinserve_client import Client

SEED, CALLERS = 6, 8
READY_SECONDS: Final = 60.0


def run(bench: Bench) -> list[Finding]:
    """Every spell in each round, with a good wire in between."""
    dice = random.Random(SEED)
    hidden_failures = 0
    with twinserve(bench.models, "--variants", "fp32,int8") as server, Wire(server.port) as wire, ExitStack() as stack:
        target = f"127.0.0.1:{wire.port}"
        clients = [stack.enter_context(Client(target, timeout=LONG_SECONDS, isolated=True)) for _ in range(CALLERS)]
        clients[0].wait_until_ready(READY_SECONDS)
        questions = Questions.of(bench.models, clients[0])
        callers = [Caller(client, questions, random.Random(f"{SEED} {at}")) for at, client in enumerate(clients)]
        accounts = [caller.account for caller in callers]
        for _ in range(bench.rounds):
            for spell in dice.sample(list(SPELLS), len(SPELLS)):
                before = sum(account.failed.total() for account in accounts)
                endure(wire, callers, spell, bench.seconds)
                if SPELLS[spell][1]:
                    hidden_failures += sum(account.failed.total() for account in accounts) - before
                for client in clients:
                    client.wait_until_ready(READY_SECONDS)
        for caller in callers:
            caller.settle()
        counted = labels_counted(server.metrics_port)
    odd = [said for account in accounts for said in account.odd]
    failed = sum((account.failed for account in accounts), start=Counter[str]())
    print(
        f"--- network\nanswered {sum(account.answered for account in accounts):,}, failed {dict(failed)}, "
        f"odd {odd[:10]}"
    )
    what = f"{len(SPELLS)} faults of the network, {bench.rounds} times each"
    longest = max(account.late_seconds for account in accounts)
    return [
        none("network", f"{what}: wrong answers", sum(account.wrong for account in accounts)),
        none("network", f"{what}: failures of another kind", len(odd)),
        none("network", f"{what}: failures that the SDK should hide", hidden_failures),
        Finding("network", f"{what}: longest call, s past its deadline", longest, 1, False, (longest,)),
        none(
            "network",
            f"{what}: labels that did not count once",
            abs(counted - sum(account.labels for account in accounts)) + sum(len(one.open) for one in accounts),
        ),
    ]


def labels_counted(metrics_port: int) -> int:
    """Images whose labels the server has counted."""
    with urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=30) as page:
        families = text_string_to_metric_families(page.read().decode())
    samples = (sample for family in families for sample in family.samples)
    return round(sum(sample.value for sample in samples if sample.name == "twinserve_feedback_images_total"))
