"""``make bench-peers``: the same artefact, generator and cores, side by side with what a user would pick instead.

Each system is started alone, checked on 200 test images, loaded and stopped, round after round; figures are medians
with their spread. Load is N connections with one stream (or one HTTP/1.1 request) each. Examples:

    python loadtest/bench/peers/run.py --install-only      make the environments (gigabytes; once)
    python loadtest/bench/peers/run.py                     about fifteen minutes
    python loadtest/bench/peers/run.py --only triton,twinserve-fast --repeats 1
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from catalogue import PEERS, Peer  # noqa: E402
from h2load import Load, LoadError, drive, drive_url, frame  # noqa: E402
from messages import TestSet  # noqa: E402
from processes import noop, pss_mib, tree, twinserve  # noqa: E402
from rich.console import Console  # noqa: E402
from table import Figures  # noqa: E402
from twinserve_loadtest.stamp import read_stamp  # noqa: E402

IN_FLIGHT = (1, 16, 64)
OIP = "/inference.GRPCInferenceService/ModelInfer"
GRPC_HEADERS = ("content-type: application/grpc", "te: trailers")
console = Console(stderr=True)

#: (images a request, in flight, seconds) -> what h2load saw.
Drive = Callable[[int, int, float], Load]


@dataclass(frozen=True, slots=True)
class Subject:
    """A system that is up and answers rightly."""

    pid: int
    drive: Drive


@contextlib.contextmanager
def running_peer(peer: Peer, home: Path, models: Path, port: int) -> Iterator[Subject]:
    """Start a peer, wait until it answers rightly, end it and all its processes."""
    artefact = models / "mnist" / "1" / "int8.pt"
    engine = json.loads((artefact.parent / "manifest.json").read_text())["variants"]["int8"].get("engine", "onednn")
    testset = models / "mnist" / "testset.npz"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        command, variables = peer.command(home, work, port)
        common = {"PEER_ARTEFACT": str(artefact.resolve()), "PEER_ENGINE": engine, "OMP_NUM_THREADS": "1"}
        with (work / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=work,
                env={**os.environ, **common, **variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            if peer.grpc:
                yield Subject(process.pid, _oip_drive(home, work, port, testset, process))
            else:
                yield Subject(process.pid, _http_drive(peer, port, testset, process))
        except (RuntimeError, subprocess.CalledProcessError) as error:
            tail = (work / "log").read_text(errors="replace")[-6000:]
            raise RuntimeError(f"{peer.name}: {error}\n{tail}") from None
        finally:
            end_all(process)


def end_all(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the process, then SIGKILL to whatever it leaves."""
    pids = tree(process.pid) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(15)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _oip_drive(home: Path, work: Path, port: int, testset: Path, process: subprocess.Popen[bytes]) -> Drive:
    python = str(home / "triton" / "bin" / "python")
    script = str(HERE / "oip.py")
    bodies = {}
    for images in (1, 64):
        path = work / f"body-{images}"
        subprocess.run([python, script, "body", str(images), str(path), str(testset)], check=True)
        bodies[images] = frame(path.read_bytes())
    done = subprocess.run(
        [python, script, "check", str(port), str(testset)], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode or process.poll() is not None:
        raise RuntimeError(f"does not answer: {done.stderr[-600:]}")
    _expect_right(float(done.stdout.split()[-1]))
    url = f"http://127.0.0.1:{port}{OIP}"
    return lambda images, in_flight, seconds: drive_url(url, bodies[images], GRPC_HEADERS, in_flight, seconds)


def _http_drive(peer: Peer, port: int, testset: Path, process: subprocess.Popen[bytes]) -> Drive:
    url = f"http://127.0.0.1:{port}{peer.url_path}"
    with np.load(testset) as held:
        pixels, labels = held["images"][:200], held["labels"][:200]
    headers = {"content-type": "application/octet-stream"}

    def ask(body: bytes) -> np.ndarray:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
            return np.frombuffer(answer.read(), np.float32).reshape(-1, 10)

    deadline = time.monotonic() + 120
    while True:
        try:
            ask(pixels[0].tobytes())
            break
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"does not answer: {error}") from None
            time.sleep(0.5)
    right = sum(
        int((ask(pixels[at : at + 20].tobytes()).argmax(1) == labels[at : at + 20]).sum()) for at in range(0, 200, 20)
    )
    _expect_right(right / 200)
    told = ("content-type: application/octet-stream",)
    return lambda images, in_flight, seconds: drive_url(
        url, pixels[:images].tobytes(), told, in_flight, seconds, http1=True
    )


def _expect_right(share: float) -> None:
    if share < 0.9:
        raise RuntimeError(f"only {share:.1%} of 200 answers are right")


@contextlib.contextmanager
def running_twinserve(transport: str, models: Path, gateways: int) -> Iterator[Subject]:
    """twinserve, as its own benchmark starts it."""
    tests = TestSet(models)
    flags = ("--variants", "fp32,int8", "--gateways", str(gateways), "--transport", transport)
    with twinserve(models, *flags) as server:
        tests.check(server.port, "int8")
        bodies = {images: tests.request("int8", images).SerializeToString() for images in (1, 64)}
        yield Subject(server.pid, lambda images, n, seconds: drive(server.port, bodies[images], n, seconds))


@contextlib.contextmanager
def running_noop(models: Path, gateways: int) -> Iterator[Subject]:
    """The bound: grpc.aio that does nothing."""
    body = TestSet(models).request("int8").SerializeToString()
    with noop(gateways) as server:
        yield Subject(server.pid, lambda _, n, seconds: drive(server.port, body, n, seconds))


def measure(name: str, subject: Subject, figures: Figures, seconds: float) -> None:
    """One round of one system."""
    figures.add(f"{name}: idle MiB", sum(pss_mib(subject.pid).values()))
    subject.drive(1, 16, 1.0)
    for in_flight in IN_FLIGHT:
        load = subject.drive(1, in_flight, seconds)
        figures.add(f"{name}: {in_flight} in flight, requests/s", load.requests_per_second)
        figures.add(f"{name}: {in_flight} in flight, p50 µs", load.p50_us)
        figures.add(f"{name}: {in_flight} in flight, p99 µs", load.p99_us)
    if name != "no-op":
        figures.add(f"{name}: batch-64, images/s", 64 * subject.drive(64, 4, seconds).requests_per_second)


def markdown(figures: Figures, names: list[str], configurations: dict[str, str]) -> str:
    """The table of ``docs/benchmarks.md``."""
    head = "| system | configuration | 1 in flight: p50 ms | 1: req/s | 16: req/s | 64: req/s | batch-64: images/s | idle MiB |"
    lines = [head, "|---|---|---:|---:|---:|---:|---:|---:|"]
    for name in names:
        cells = [f"{figures.median(f'{name}: 1 in flight, p50 µs') / 1000:.2f}"]
        for label in (
            "1 in flight, requests/s",
            "16 in flight, requests/s",
            "64 in flight, requests/s",
            "batch-64, images/s",
        ):
            values = figures.values.get(f"{name}: {label}", [])
            cells.append(
                f"{figures.median(f'{name}: {label}'):,.0f} ({min(values):,.0f}-{max(values):,.0f})" if values else ""
            )
        cells.append(f"{figures.median(f'{name}: idle MiB'):,.0f}")
        lines.append(f"| {name} | {configurations.get(name, '')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measure everybody."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--home", type=Path, default=Path("~/.cache/twinserve/peers").expanduser())
    parser.add_argument("--only", default="", help="names, by commas")
    parser.add_argument("--repeats", type=int, default=3)
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
    port = 18600
    # Stopped from outside, the peer under way must end, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    starts: dict[str, Callable[[], contextlib.AbstractContextManager[Subject]]] = {
        "twinserve-fast": lambda: running_twinserve("fast", arguments.models, arguments.gateways),
        "twinserve-aio": lambda: running_twinserve("aio", arguments.models, arguments.gateways),
        "no-op": lambda: running_noop(arguments.models, arguments.gateways),
        **{
            peer.name: lambda peer=peer: running_peer(peer, arguments.home, arguments.models, port)  # type: ignore[misc]
            for peer in chosen
        },
    }
    starts = {name: start for name, start in starts.items() if not only or name in only}
    figures, failed = Figures(), dict[str, str]()
    for number in range(arguments.repeats):
        for name, start in starts.items():
            if name in failed:
                continue
            console.print(f"round {number + 1}: {name}")
            try:
                with start() as subject:
                    measure(name, subject, figures, arguments.seconds)
            except (RuntimeError, LoadError) as error:
                failed[name] = str(error)
                console.print(f"{name} failed: {error}", style="red")
    configurations = {peer.name: peer.configuration for peer in PEERS}
    configurations |= {
        name: f"{arguments.gateways} gateways, 1 model process" for name in starts if "twinserve" in name
    }
    configurations["no-op"] = f"grpc.aio, {arguments.gateways} processes"
    print(markdown(figures, [name for name in starts if name not in failed], configurations))
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"peers-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    path.write_text(
        json.dumps(
            {"stamp": asdict(read_stamp()), "command": sys.argv, "figures": figures.values, "failed": failed}, indent=1
        )
    )
    console.print(f"kept in {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
