"""Triton's own load generator, ``perf_analyzer``, in an environment of its own under the cache folder.

Its binary comes with an old ``tritonclient`` and needs two libraries: one from Debian, which is unpacked beside it, and
one from PyPI. Examples:

    python -m twinserve_bench.perf_analyzer --install
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

PACKAGES: Final = ("tritonclient[grpc]==2.50.0", "nvidia-cuda-runtime-cu12==12.9.79")
DEBIAN_PACKAGE: Final = "libb64-0d"
#: Three windows in a row that need not agree: on a shared machine they rarely do.
_PATIENCE: Final = ("-s", "999", "-r", "3")
_LIMIT_SECONDS: Final = 300.0

Sweep = Literal["concurrency", "request-rate"]


class PerfAnalyzerError(RuntimeError):
    """It is not installed, or did not do what it was asked for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a sweep: what was asked for, requests answered a second, client latencies and server times in µs."""

    asked: float
    requests_per_second: float
    p50_us: float
    p99_us: float
    server_queue_us: float
    server_infer_us: float


def folder() -> Path:
    """Where it lies, or would."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twinserve" / "perf_analyzer"


def is_installed() -> bool:
    """Whether it can run here."""
    return (folder() / "bin" / "perf_analyzer").is_file() and bool(_libraries())


def install() -> None:
    """Install it; takes a minute, pip and apt's package lists.

    Raises:
        PerfAnalyzerError: a step failed; the message says which.
    """
    home = folder()
    venv.create(home, with_pip=True)
    _step([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *PACKAGES])
    with tempfile.TemporaryDirectory() as scratch:
        _step(["apt-get", "download", DEBIAN_PACKAGE], cwd=scratch)
        for package in Path(scratch).glob("*.deb"):
            _step(["dpkg-deb", "--extract", str(package), str(home / "debian")])


def sweep(
    target: str, model: str, kind: Sweep, first: int, last: int, step: int, window_ms: int = 1000, shape: str = ""
) -> list[Row]:
    """Load ``model`` with every concurrency, or request rate, from ``first`` to ``last``.

    Args:
        target: host:port of the gRPC service.
        model: as the protocol names it.
        kind: what is swept.
        first: the least; ``last``: the most; ``step``: between them.
        window_ms: milliseconds of each of the three measurements of a step.
        shape: of the input where the model leaves one open, as perf_analyzer's ``--shape``.

    Returns:
        One row a step, in the order of the sweep.

    Raises:
        PerfAnalyzerError: it is not installed, failed, or left a step out.
    """
    if not is_installed():
        raise PerfAnalyzerError("perf_analyzer is not installed; python -m twinserve_bench.perf_analyzer --install")
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch) / "rows.csv"
        command = [str(folder() / "bin" / "perf_analyzer"), "-i", "grpc", "-u", target, "-m", model]
        command += [f"--{kind}-range", f"{first}:{last}:{step}", *_PATIENCE, "-p", str(window_ms), "-f", str(table)]
        command += ["--shape", shape] if shape else []
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=_LIMIT_SECONDS,
                check=False,
                env={**os.environ, "LD_LIBRARY_PATH": ":".join(_libraries())},
            )
        except subprocess.TimeoutExpired:
            raise PerfAnalyzerError(f"perf_analyzer did not end within {_LIMIT_SECONDS:.0f} s") from None
        if done.returncode or not table.exists():
            raise PerfAnalyzerError(f"perf_analyzer ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        rows = _read(table)
    if len(rows) != len(range(first, last + 1, step)):
        raise PerfAnalyzerError(f"perf_analyzer measured {len(rows)} steps only:\n{done.stdout}{done.stderr}")
    return rows


def _read(table: Path) -> list[Row]:
    with table.open(newline="") as lines:
        found = list(csv.DictReader(lines))
    # The table is sorted by latency, not by the requested values.
    rows = [
        Row(
            float(row.get("Concurrency") or row["Request Rate"]),
            float(row["Inferences/Second"]),
            float(row["p50 latency"]),
            float(row["p99 latency"]),
            float(row["Server Queue"]),
            float(row["Server Compute Infer"]),
        )
        for row in found
    ]
    return sorted(rows, key=lambda row: row.asked)


def _libraries() -> list[str]:
    """The folders of the two libraries; empty: one is missing."""
    found = [next(folder().glob(f"{where}/**/{name}"), None) for where, name in _NEEDED]
    return [] if None in found else [str(path.parent) for path in found if path is not None]


_NEEDED: Final = (("debian", "libb64.so.0d"), ("lib", "libcudart.so.12"))


def _step(command: list[str], cwd: str | None = None) -> None:
    try:
        subprocess.run(command, check=True, cwd=cwd)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PerfAnalyzerError(f"perf_analyzer cannot be installed: {error}") from None


def main() -> int:
    """Install it, or say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help=f"into {folder()}")
    if parser.parse_args().install and not is_installed():
        try:
            install()
        except PerfAnalyzerError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(f"{folder()}: {'installed' if is_installed() else 'not installed; use --install'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
