"""``make bench-peers``: the same artefact, generator and cores, side by side with what a user would pick instead.

Each system is started alone, checked on 500 test images, loaded and stopped, round after round; figures are medians
with their spread. Load is N connections with one stream (or one HTTP/1.1 request) each. Examples:

    python -m twinserve_bench.peers.run --install-only      make the environments (gigabytes; once)
    python -m twinserve_bench.peers.run                     about fifteen minutes
    python -m twinserve_bench.peers.run --only triton,twinserve-fast --repeats 1
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from twinserve_bench.h2load import LoadError
from twinserve_bench.peers.catalogue import PEERS
from twinserve_bench.peers.report import REPLICATED, markdown
from twinserve_bench.peers.subjects import Subject, running_noop, running_peer, running_twinserve
from twinserve_bench.processes import affinity, ensure_models, memory_mib
from twinserve_bench.table import Figures
from twinserve_loadtest.record.stamp import read_stamp

IN_FLIGHT = (1, 16, 64)
#: A system that crashes is started again; one that fails so often in a round is left out from then on.
ATTEMPTS = 2
console = Console(stderr=True)


def measure(name: str, subject: Subject, figures: Figures, seconds: float) -> dict[str, tuple[float, float]]:
    """One round of one system; returns its idle memory (PSS, RSS) by process."""
    memory = memory_mib(subject.pid)
    figures.add(f"{name}: idle MiB", sum(pss for pss, _ in memory.values()))
    subject.drive(1, 16, 1.0)
    for in_flight in IN_FLIGHT:
        load = subject.drive(1, in_flight, seconds)
        figures.add(f"{name}: {in_flight} in flight, requests/s", load.requests_per_second)
        figures.add(f"{name}: {in_flight} in flight, p50 µs", load.p50_us)
        figures.add(f"{name}: {in_flight} in flight, p99 µs", load.p99_us)
    if name != "no-op":
        figures.add(f"{name}: batch-64, images/s", 64 * subject.drive(64, 4, seconds).requests_per_second)
    return memory


def main() -> int:
    """Measure everybody."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--home", type=Path, default=Path("~/.cache/twinserve/peers").expanduser())
    parser.add_argument("--only", default="", help="which systems, such as triton,twinserve-fast-2-replicas")
    parser.add_argument("--rounds", "--repeats", type=int, default=3, dest="repeats")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--install-only", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("bench-results"))
    arguments = parser.parse_args()
    only = set(filter(None, arguments.only.split(",")))
    chosen = [peer for peer in PEERS if not only or peer.name in only]
    for peer in {PEERS[0], *chosen}:
        console.print(f"environment of {peer.name} ...")
        peer.install(arguments.home)
    if arguments.install_only:
        return 0
    ensure_models(arguments.models)
    port = 18600
    # Stopped from outside, the peer under way must end, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    starts: dict[str, Callable[[], contextlib.AbstractContextManager[Subject]]] = {
        "twinserve-fast": lambda: running_twinserve("fast", arguments.models, arguments.gateways),
        REPLICATED: lambda: running_twinserve("fast", arguments.models, arguments.gateways, replicas=2),
        "twinserve-aio": lambda: running_twinserve("aio", arguments.models, arguments.gateways),
        "twinserve-native": lambda: running_twinserve("native", arguments.models, 1, replicas=2),
        "twinserve-edge": lambda: running_twinserve("auto", arguments.models, 1, profile="edge"),
        "no-op": lambda: running_noop(arguments.models, arguments.gateways),
        **{
            peer.name: lambda peer=peer: running_peer(peer, arguments.home, arguments.models, port)  # type: ignore[misc]
            for peer in chosen
        },
    }
    starts = {name: start for name, start in starts.items() if not only or name in only}
    figures, failed, crashes = Figures(), dict[str, str](), dict[str, list[str]]()
    memory, right = dict[str, dict[str, tuple[float, float]]](), dict[str, str]()
    loads = [os.getloadavg()[0]]
    for number in range(arguments.repeats):
        for name, start in starts.items():
            if name in failed:
                continue
            for _ in range(ATTEMPTS):
                console.print(f"round {number + 1}: {name}")
                measured = Figures()
                try:
                    with start() as subject:
                        right[name] = subject.right
                        memory[name] = measure(name, subject, measured, arguments.seconds)
                except (RuntimeError, LoadError, OSError, subprocess.SubprocessError) as error:
                    crashes.setdefault(name, []).append(str(error))
                    console.print(f"{name} failed: {error}", style="red")
                    continue
                for label, (value,) in measured.values.items():
                    figures.add(label, value)
                break
            else:
                failed[name] = crashes[name][-1]
        loads.append(os.getloadavg()[0])
    described = {peer.name: peer.configuration for peer in PEERS}
    described["no-op"] = f"grpc.aio, {arguments.gateways} processes"
    ours = f"{arguments.gateways} gateways, 1 model process a variant; fp32 and int8 loaded"
    described["twinserve-native"] = "1 gateway, 2 model processes of int8, 1 of fp32"
    described["twinserve-edge"] = "one process; fp32 and int8 loaded"
    described[REPLICATED] = f"{arguments.gateways} gateways, 2 model processes of int8, 1 of fp32"
    result = {
        "stamp": asdict(read_stamp()),
        "command": sys.argv,
        "affinity": affinity(),
        "load_averages": loads,
        "rounds": arguments.repeats,
        "seconds": arguments.seconds,
        "configurations": {name: described.get(name, ours) for name in starts},
        "figures": figures.values,
        "right": right,
        "idle_mib": memory,
        "crashes": crashes,
        "failed": failed,
    }
    print(markdown(result))
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"peers-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    path.write_text(json.dumps(result, indent=1))
    console.print(f"kept in {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
