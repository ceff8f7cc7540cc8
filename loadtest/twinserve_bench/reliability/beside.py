"""Ten clients beside an attack: how much longer their p99 becomes, and how far the gateways grow.

The attack and the clients share the machine's cores with the server: on two of them, a p99 beside any other process
that is never idle is already longer than alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from twinserve_bench.processes import gateways_mib, tree, twinserve
from twinserve_bench.reliability.driver import Driver
from twinserve_bench.reliability.run import Bench

CLIENTS: Final = 10
#: The attack begins before the clients and ends after them.
MARGIN_SECONDS: Final = 6.0
#: So long the gateways have, to give back what they needed.
REST_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.25
#: Statuses that blame the server.
OURS: Final = ("UNKNOWN", "INTERNAL")


@dataclass(frozen=True, slots=True)
class Effect:
    """What an attack did.

    Attributes:
        ratio: the clients' p99 beside it, as a multiple of that without it.
        grown_mib: how much larger the gateways became at the most.
        said: what the attack printed.
        ended: processes of the server that are gone.
        blamed: RPCs that the server counted as faults of its own.
    """

    ratio: float
    grown_mib: float
    said: dict[str, Any]
    ended: int
    blamed: float


def beside(bench: Bench, module: str, *flags: str, attack_seconds: float = 0.0) -> Effect:
    """Measure ``python -m twinserve_bench.reliability.MODULE`` with ``flags``, beside a server of its own.

    The attack lasts a little longer than its clients ask, or ``attack_seconds``.
    """
    attack_seconds = attack_seconds or bench.seconds + MARGIN_SECONDS
    with twinserve(bench.models, "--variants", "fp32,int8") as server:
        driver = Driver(server.port, bench.models, bench.seconds)
        alone = driver.ask(CLIENTS).p99_ms
        before, running = gateways_mib(server.pid), set(tree(server.pid))
        command = [sys.executable, "-m", f"twinserve_bench.reliability.{module}", "--port", str(server.port), *flags]
        command += ["--seconds", str(attack_seconds)]
        attack = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        most, over = [before], threading.Event()
        watch = threading.Thread(target=_watch, args=(server.pid, most, over))
        watch.start()
        try:
            clients = driver.ask(CLIENTS)
            said, _ = attack.communicate(timeout=attack_seconds + 60)
        finally:
            attack.kill()
            over.set()
            watch.join()
        time.sleep(REST_SECONDS)
        ended, blamed = len(running - set(tree(server.pid))), faults_counted(server.metrics_port)
        print(
            f"{module} {' '.join(flags)}: {said.strip()}; p99 {alone:.1f} -> {clients.p99_ms:.1f} ms; {clients.ends}; "
            f"gateways {before:.0f} -> {max(most):.0f} MiB at most, {gateways_mib(server.pid):.0f} at the end",
            flush=True,
        )
        return Effect(clients.p99_ms / alone, max(most) - before, json.loads(said), ended, blamed)


def faults_counted(metrics_port: int) -> float:
    """RPCs that ended as faults of the server, by its own count."""
    with urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=30) as page:
        families = text_string_to_metric_families(page.read().decode())
    samples = (sample for family in families for sample in family.samples)
    return sum(
        sample.value
        for sample in samples
        if sample.name == "grpc_server_handled_total" and sample.labels["grpc_code"] in OURS
    )


def _watch(pid: int, seen: list[float], over: threading.Event) -> None:
    while not over.wait(_LOOK_SECONDS):
        seen.append(gateways_mib(pid))
