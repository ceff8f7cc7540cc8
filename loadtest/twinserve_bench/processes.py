"""The servers under test: started as a user would start them, ended by their PID."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from twinserve_server.host.memory import cpu_seconds as process_cpu_seconds
from twinserve_server.host.memory import resident_bytes

#: The text in a command line that identifies the process; the first match counts.
_ROLES = {
    "twinserve_server.gateway": "gateway",
    "twinserve_server.model": "model",
    "--profile\0edge": "edge",
    "twinserve_server": "supervisor",
    "multiprocessing.spawn": "gateway",
    "noop_server": "supervisor",
}
#: Above this many runnable processes per core, the figures are not a measurement.
QUIET_LOAD_PER_CORE = 1.5


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is ready."""

    port: int
    pid: int
    metrics_port: int = 0


def ensure_models(models: Path) -> None:
    """Build the models when they are not there, as `make demo` does.

    Raises:
        subprocess.CalledProcessError: the build failed; it has said why.
    """
    if not (models / "mnist" / "testset.npz").exists():
        program = Path(sys.executable).with_name("twinserve")
        subprocess.run([program, "models", "build", "--models", models], check=True)


@contextlib.contextmanager
def twinserve(models: Path, *flags: str) -> Iterator[Running]:
    """`twinserve serve` on free ports."""
    with tempfile.TemporaryDirectory() as folder:
        ready, log = Path(folder) / "ready.json", Path(folder) / "log"
        command = [sys.executable, "-m", "twinserve_server", "--models", str(models), "--no-build"]
        command += ["--port", "0", "--metrics-port", "0", "--ready-file", str(ready), *flags]
        with log.open("wb") as out:
            process = subprocess.Popen(command, stderr=out, stdout=out)
        try:
            deadline = time.monotonic() + 180
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"twinserve did not start:\n{log.read_text(errors='replace')}")
                time.sleep(0.05)
            ports = json.loads(ready.read_text())
            yield Running(ports["grpc_port"], process.pid, ports["metrics_port"])
        finally:
            end(process)


def idle_memory(models: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """What a server with both variants holds once it is ready, by profile: see :func:`memory_mib`.

    Each is alone: beside another server, its PSS would leave half of every shared library to that one.
    """
    found = {}
    for profile in ("isolated", "edge"):
        with twinserve(models, "--variants", "fp32,int8", "--profile", profile) as server:
            found["default" if profile == "isolated" else profile] = memory_mib(server.pid)
    return found


@contextlib.contextmanager
def noop(processes: int) -> Iterator[Running]:
    """The no-op grpc.aio server."""
    process = subprocess.Popen(
        [sys.executable, "-m", "twinserve_bench.noop_server", "--processes", str(processes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Running(int(process.stdout.readline()), process.pid)
    finally:
        end(process)


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """SIGTERM; SIGKILL if that does not help."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    if process.poll() is None:
        process.kill()
        process.wait()


def tree(pid: int) -> list[int]:
    """``pid`` and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread or child may have ended by now.
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def memory_mib(pid: int) -> dict[str, tuple[float, float]]:
    """Resident memory (PSS and RSS, MiB) of ``pid`` and its descendants, by what each runs and its PID."""
    found: dict[str, tuple[float, float]] = {}
    for one in tree(pid):
        with contextlib.suppress(OSError):
            resident = resident_bytes(one)
            found[f"{_role(one)} [{one}]"] = (resident.pss / 2**20, resident.rss / 2**20)
    return found


def pss_mib(pid: int) -> float:
    """Resident memory (PSS, MiB) of ``pid`` and its descendants."""
    return sum(pss for pss, _ in memory_mib(pid).values())


def gateways_mib(pid: int) -> float:
    """Resident memory (RSS, MiB) of the gateways of a server."""
    return sum(rss for role, (_, rss) in memory_mib(pid).items() if role.startswith("gateway"))


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU seconds so far of ``pid`` and its descendants, by role: gateway, model, supervisor, edge, other."""
    found: dict[str, float] = {}
    for one in tree(pid):
        with contextlib.suppress(OSError):
            role = _role(one)
            found[role] = found.get(role, 0.0) + process_cpu_seconds(one)
    return found


def _role(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return next((role for part, role in _ROLES.items() if part in words), "other")


def affinity() -> list[int]:
    """The cores that everything here shares."""
    return sorted(os.sched_getaffinity(0))


def busy_warning(load_before: float) -> str:
    """What to say above the figures when others were at work before the first server started; else nothing."""
    if load_before <= QUIET_LOAD_PER_CORE * len(affinity()):
        return ""
    return (
        f"**Not a measurement: the load average was {load_before:.1f} before the first server started.**"
        " Other work ran on the same cores; repeat it on a quiet machine."
    )
