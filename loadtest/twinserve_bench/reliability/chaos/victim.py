"""The server that faults happen to: started, started again on the same ports, and looked at."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from twinserve_bench.certificates import make_certificates
from twinserve_bench.processes import tree
from twinserve_client import TLS, Client, ProcessStatus, RetryPolicy
from twinserve_server.access.token_file import create_token

READY_SECONDS: Final = 180.0
#: How soon a silent process is replaced.
HANG_SECONDS: Final = 3
_RETRIES: Final = RetryPolicy()


class Victim:
    """A server with tokens and, where the transport speaks it, TLS. A context manager: it ends everything it started.

    Attributes:
        token: of an admin, in force now.
        tokens: the server's token file.
        certificates: folder of ``make_certificates``; None: plain text.
        changes: how often callers had to come with another token.
    """

    def __init__(self, models: Path, folder: Path, transport: str, *flags: str) -> None:
        self._models, self._folder, self._flags = models, folder, ["--transport", transport, *flags]
        self._ports = {"--port": 0, "--metrics-port": 0, "--admin-port": 0}
        self._log = folder / "server.log"
        self._ready = folder / "ready.json"
        self.tokens = folder / "tokens"
        self.token = create_token(self.tokens, "first", ["admin"])
        self.changes = 0
        self.certificates = None if transport == "native" else make_certificates(_made(folder / "tls"))

    def __enter__(self) -> Victim:
        self._ports = {option: free_port() for option in self._ports}
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def target(self) -> str:
        """Where callers ask."""
        return f"127.0.0.1:{self._ports['--port']}"

    @property
    def port(self) -> int:
        """The gRPC port."""
        return self._ports["--port"]

    def start(self) -> float:
        """Start it, and wait until it is ready; the seconds that took.

        Raises:
            RuntimeError: it ended, or is not ready in time; with its log.
        """
        self._ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "twinserve_server", "--models", str(self._models), "--no-build"]
        command += ["--tokens", str(self.tokens), "--ready-file", str(self._ready), "--log-format", "json"]
        command += ["--hang-seconds", str(HANG_SECONDS), *self._flags]
        for option, port in self._ports.items():
            command += [option, str(port)]
        if self.certificates is not None:
            command += ["--tls-cert", str(self.certificates / "server.pem")]
            command += ["--tls-key", str(self.certificates / "server.key")]
        began = time.monotonic()
        with self._log.open("ab") as log:
            # A separate process group, to be signalled as a whole.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.until(lambda: self._ready.exists() or self.process.poll() is not None, "the server is ready")
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log()}")
        return time.monotonic() - began

    def log(self, start: int = 0) -> str:
        """What it has written since it had written ``start`` bytes."""
        with self._log.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    def logged(self) -> int:
        """Bytes written to the log so far."""
        return self._log.stat().st_size

    def client(self, timeout: float, retries: RetryPolicy | int = _RETRIES) -> Client:
        """A caller, with the token in force; without ``retries`` the SDK's own."""
        tls = None if self.certificates is None else TLS(ca=self.certificates / "ca.pem")
        admin = f"127.0.0.1:{self._ports['--admin-port']}"
        return Client(self.target, timeout=timeout, retries=retries, token=self.token, tls=tls, admin_target=admin)

    @contextlib.contextmanager
    def operator(self) -> Iterator[Client]:
        """A fresh connection of whoever runs the server; it waits for one."""
        with self.client(30.0) as client:
            client.wait_until_ready(READY_SECONDS)
            yield client

    def processes(self) -> list[ProcessStatus]:
        """Its gateways and model processes."""
        with self.operator() as client:
            return sorted(client.get_status().processes, key=lambda process: process.name)

    def pids(self) -> list[int]:
        """Of everything that runs."""
        return tree(self.process.pid)

    def answered_by_metrics(self) -> float:
        """Predict calls that this start of the server says it has answered."""
        url = f"http://127.0.0.1:{self._ports['--metrics-port']}/metrics"
        page = Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urlopen(page, timeout=30) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        wanted = {"grpc_method": "Predict", "grpc_code": "OK"}.items()
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "grpc_server_handled_total" and wanted <= sample.labels.items()
        )

    def until_gateways_say(self, event: str, start: int) -> None:
        """Wait until each gateway has logged ``event`` after ``start`` bytes of log."""
        wanted = {process.name for process in self.processes() if process.role == "gateway"}

        def said() -> bool:
            lines = [line for line in self.log(start).splitlines() if event in line and line.endswith("}")]
            return wanted <= {json.loads(line).get("process") for line in lines}

        self.until(said, f"all gateways have logged {event}")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
        """Wait for ``condition``.

        Raises:
            RuntimeError: it does not hold within ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {seconds:.0f} s: {what}\n{self.log()[-4000:]}")
            time.sleep(0.02)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
