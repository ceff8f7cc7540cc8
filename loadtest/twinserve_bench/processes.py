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

_ROLES = {"twinserve_server.gateway": "gateway", "twinserve_server.model": "model", "twinserve_server": "supervisor"}
#: Above this many runnable processes a core, the figures are no measurement.
QUIET_LOAD_PER_CORE = 1.5


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is ready."""

    port: int
    pid: int


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
            deadline = time.monotonic() + 90
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"twinserve did not start:\n{log.read_text(errors='replace')}")
                time.sleep(0.05)
            yield Running(json.loads(ready.read_text())["grpc_port"], process.pid)
        finally:
            end(process)


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
        children = (task / "children").read_text().split()
        for child in children:
            found += tree(int(child))
    return found


def pss_mib(pid: int) -> dict[str, float]:
    """Resident memory (PSS, MiB) of ``pid`` and its descendants, by what each runs."""
    found: dict[str, float] = {}
    for one in tree(pid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            name = next((part for part in words.split() if "." in part and "/" not in part), words[:40])
            found[f"{name} [{one}]"] = kib / 1024
    return found


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU seconds so far of ``pid`` and its descendants, by what they run: gateway, model, supervisor, other."""
    found: dict[str, float] = {}
    for one in tree(pid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{one}/cmdline").read_bytes().decode(errors="replace")
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            role = next((role for part, role in _ROLES.items() if part in words), "other")
            spent = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            found[role] = found.get(role, 0.0) + spent
    return found


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
