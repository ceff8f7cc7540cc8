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
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from twinserve_bench.h2load import LoadError
from twinserve_bench.peers.catalogue import PEERS, Peer
from twinserve_bench.peers.report import REPLICATED, markdown
from twinserve_bench.peers.subjects import Subject, running_noop, running_peer, running_twinserve
from twinserve_bench.processes import affinity, ensure_models, memory_mib
from twinserve_bench.results import Results
from twinserve_bench.table import Figures
from twinserve_host.files import FileError
from twinserve_loadtest.record.stamp import read_stamp

IN_FLIGHT = (1, 16, 64)
#: A system that crashes is restarted; one that fails this often in a round is left out from then on.
ATTEMPTS = 2
#: Of the peers; one runs at a time.
PORT = 18600
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


Start = Callable[[], contextlib.AbstractContextManager[Subject]]


@dataclass(slots=True)
class Account:
    """What was found so far, by system.

    Attributes:
        right: of the test images, see :class:`Subject`.
        crashes: what was said each time; ``failed``: what was said last by those that were given up.
        loads: the load average before the first round, and after each.
    """

    figures: Figures = field(default_factory=Figures)
    memory: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    right: dict[str, str] = field(default_factory=dict)
    crashes: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    loads: list[float] = field(default_factory=lambda: [os.getloadavg()[0]])

    def rounds(self, starts: dict[str, Start], rounds: int, seconds: float, keep: Callable[[], None]) -> None:
        """Measure everybody; ``keep`` is called after each system."""
        for number in range(rounds):
            for name, start in starts.items():
                if name not in self.failed:
                    console.print(f"round {number + 1}: {name}")
                    self._system(name, start, seconds)
                    keep()
            self.loads.append(os.getloadavg()[0])

    def _system(self, name: str, start: Start, seconds: float) -> None:
        for _ in range(ATTEMPTS):
            measured = Figures()
            try:
                with start() as subject:
                    self.right[name] = subject.right
                    self.memory[name] = measure(name, subject, measured, seconds)
            except (RuntimeError, LoadError, OSError, subprocess.SubprocessError) as error:
                self.crashes.setdefault(name, []).append(str(error))
                console.print(f"{name} failed: {error}", style="red", markup=False)
                continue
            for label, (value,) in measured.values.items():
                self.figures.add(label, value)
            return
        self.failed[name] = self.crashes[name][-1]


def starts_of(chosen: list[Peer], only: set[str], home: Path, models: Path, gateways: int) -> dict[str, Start]:
    """Ours and the peers, by name, and how each is started."""
    starts: dict[str, Start] = {
        "twinserve-fast": lambda: running_twinserve("fast", models, gateways),
        REPLICATED: lambda: running_twinserve("fast", models, gateways, replicas=2),
        "twinserve-aio": lambda: running_twinserve("aio", models, gateways),
        "twinserve-native": lambda: running_twinserve("native", models, 1, replicas=2),
        "twinserve-edge": lambda: running_twinserve("auto", models, 1, profile="edge"),
        "no-op": lambda: running_noop(models, gateways),
        **{peer.name: partial(running_peer, peer, home, models, PORT) for peer in chosen},
    }
    return {name: start for name, start in starts.items() if not only or name in only}


def configurations(names: Iterable[str], gateways: int) -> dict[str, str]:
    """What each system was told."""
    ours = f"{gateways} gateways, 1 model process a variant; fp32 and int8 loaded"
    described = {peer.name: peer.configuration for peer in PEERS} | {
        "no-op": f"grpc.aio, {gateways} processes",
        "twinserve-native": "1 gateway, 2 model processes of int8, 1 of fp32",
        "twinserve-edge": "one process; fp32 and int8 loaded",
        REPLICATED: f"{gateways} gateways, 2 model processes of int8, 1 of fp32",
    }
    return {name: described.get(name, ours) for name in names}


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
    starts = starts_of(chosen, only, arguments.home, arguments.models, arguments.gateways)
    account = Account()

    def found() -> dict[str, Any]:
        return {
            "stamp": asdict(read_stamp()),
            "command": sys.argv,
            "affinity": affinity(),
            "load_averages": account.loads,
            "rounds": arguments.repeats,
            "rounds_done": len(account.loads) - 1,
            "seconds": arguments.seconds,
            "configurations": configurations(starts, arguments.gateways),
            "figures": account.figures.values,
            "right": account.right,
            "idle_mib": account.memory,
            "crashes": account.crashes,
            "failed": account.failed,
        }

    try:
        results = Results(arguments.output, "peers", console, found)
    except FileError as error:
        parser.error(f"--output {error}")
    code = results.run(
        lambda: account.rounds(starts, arguments.repeats, arguments.seconds, results.keep),
        lambda: print(markdown(found())),
    )
    return code or int(bool(account.failed))


if __name__ == "__main__":
    sys.exit(main())
