"""Groups of clients, each in a process of its own, against one server."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from twinserve_bench.reliability.clients import Outcome


@dataclass(frozen=True, slots=True)
class Driver:
    """Starts clients; each group gets its own seconds of warm-up."""

    port: int
    models: Path
    seconds: float

    def start(self, clients: int, *, in_flight: int = 1, deadline_ms: int = 0, extra: float = 0.0) -> Group:
        """Start ``clients``; they ask for ``seconds`` and ``extra``."""
        command = [sys.executable, "-m", "twinserve_bench.reliability.clients", "--port", str(self.port)]
        command += ["--models", str(self.models), "--clients", str(clients), "--in-flight", str(in_flight)]
        command += ["--deadline-ms", str(deadline_ms), "--seconds", str(self.seconds + extra)]
        return Group(subprocess.Popen(command, stdout=subprocess.PIPE, text=True), self.seconds + extra + 60)

    def ask(self, clients: int, *, in_flight: int = 1, deadline_ms: int = 0) -> Outcome:
        """Run ``clients`` to their end."""
        return self.start(clients, in_flight=in_flight, deadline_ms=deadline_ms).outcome()


@dataclass(frozen=True, slots=True)
class Group:
    """Clients under way."""

    process: subprocess.Popen[str]
    limit_seconds: float

    def outcome(self) -> Outcome:
        """Wait for them.

        Raises:
            RuntimeError: they failed, and said why on standard error.
        """
        try:
            said, _ = self.process.communicate(timeout=self.limit_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"the clients did not end within {self.limit_seconds:.0f} s") from None
        if self.process.returncode:
            raise RuntimeError(f"the clients ended with {self.process.returncode}")
        return Outcome(**json.loads(said))
